// Object paths in messages, and lists of them for sd-bus.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "daemon/worker/bus.hpp"
#include "daemon/worker/bus_reactor.hpp"
#include "daemon/worker/names.hpp"

namespace iommud::worker {

inline int append_path(sd_bus_message* message, LeaseId lease) noexcept {
    try {
        return sd_bus_message_append_basic(message, SD_BUS_TYPE_OBJECT_PATH, lease_path(lease).c_str());
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
}

// A node enumerator's callback: the paths of all entries of `map`, NULL-terminated, malloc()ed as sd-bus frees them.
template <class Map, class Path>
int list_nodes(const Map& map, Path path_of, char*** nodes, CallbackFailure& failure) noexcept {
    auto** const list = static_cast<char**>(std::calloc(map.size() + 1, sizeof(char*)));
    if (list == nullptr) {
        return -ENOMEM;
    }
    *nodes = list;  // sd-bus frees it whatever we return
    try {
        std::size_t count = 0;
        for (const auto& entry : map) {
            list[count] = ::strdup(path_of(entry).c_str());
            if (list[count++] == nullptr) {
                return -ENOMEM;
            }
        }
        return 0;
    } catch (...) {
        failure.keep(std::current_exception());
        return -ECANCELED;
    }
}

}  // namespace iommud::worker
