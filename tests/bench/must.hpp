// A benchmark that cannot go on says why and ends.
#pragma once

#include <cerrno>
#include <system_error>

namespace iommud::bench {

inline void must(bool done, const char* what) {
    if (!done) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

// sd-bus's results: a negative errno is a failure.
inline void must_bus(int result, const char* what) {
    if (result < 0) {
        throw std::system_error(-result, std::generic_category(), what);
    }
}

}  // namespace iommud::bench
