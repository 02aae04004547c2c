// The C ABI: what libiommud exports, over the classes beside it. No exception leaves it.
#include <iommud/iommud.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include "client/lib/acquire.hpp"
#include "client/lib/dma_memory.hpp"
#include "client/lib/lease_channel.hpp"

struct iommud_connection {
    iommud::lib::Bus bus;
};

struct iommud_lease {
    // The channel owns the descriptor named "lease"; `fds` the others.
    iommud::lib::LeaseChannel channel;
    std::string path;
    std::vector<iommud::lib::NamedFd> fds;
    bool simulated = false;
};

struct iommud_memory {
    iommud::lib::DmaMemory memory;
};

namespace {

using namespace iommud::lib;
using iommud::BorrowedFd;
using iommud::UniqueFd;

constexpr const char* lease_name = "lease";

// Runs `body`, which returns 0 or what report() returned.
template <class Body>
int guarded(iommud_failure* failure, Body body) noexcept {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return report({.code = IOMMUD_ERROR_SYSTEM, .message = {}, .name = {}, .error_number = ENOMEM}, failure);
    } catch (...) {
        return report({.code = IOMMUD_ERROR_PROTOCOL, .message = {}, .name = {}}, failure);
    }
}

Outcome<AcquireOptions> options_of(const iommud_acquire_options* given) {
    AcquireOptions options;
    if (given == nullptr) {
        return options;
    }
    if (given->size != sizeof(iommud_acquire_options)) {
        return failed(IOMMUD_ERROR_INVALID_ARGUMENT, "iommud_acquire_options of another version: size is wrong");
    }
    options.mode = given->mode != nullptr ? given->mode : "";
    options.label = given->label != nullptr ? given->label : "";
    options.memory = given->memory;
    return options;
}

iommud_lease* lease_of(Granted granted) {
    UniqueFd channel;
    for (NamedFd& fd : granted.fds) {
        if (fd.name == lease_name) {
            channel = std::move(fd.fd);
        }
    }
    std::erase_if(granted.fds, [](const NamedFd& fd) { return fd.name == lease_name; });
    return new iommud_lease{LeaseChannel(std::move(channel)), std::move(granted.path), std::move(granted.fds),
                            granted.simulated};
}

int give_number(const Outcome<std::uint64_t>& number, std::uint64_t* out, iommud_failure* failure) {
    if (!number) {
        return report(number.error(), failure);
    }
    if (out != nullptr) {
        *out = *number;
    }
    return 0;
}

}  // namespace

extern "C" {

int iommud_exit_code(int code) {
    return exit_code(code);
}

const char* iommud_version(void) {
    return IOMMUD_VERSION;
}

int iommud_default_address(char* address, size_t size, iommud_failure* failure) {
    return guarded(failure, [=] {
        const std::string text = default_address();
        if (text.size() >= size) {
            return report(system_failed("the daemon's address", ENAMETOOLONG).value(), failure);
        }
        std::memcpy(address, text.c_str(), text.size() + 1);
        return 0;
    });
}

int iommud_connect(const char* address, iommud_connection** connection, iommud_failure* failure) {
    *connection = nullptr;
    return guarded(failure, [=] {
        auto bus = Bus::connect(address != nullptr ? address : default_address());
        if (!bus) {
            return report(bus.error(), failure);
        }
        *connection = new iommud_connection{std::move(*bus)};
        return 0;
    });
}

void iommud_disconnect(iommud_connection* connection) {
    delete connection;
}

int iommud_acquire(iommud_connection* connection, const char* const* devices, size_t device_count,
                   const iommud_acquire_options* options, iommud_lease** lease, iommud_failure* failure) {
    *lease = nullptr;
    return guarded(failure, [=] {
        const auto wanted = options_of(options);
        if (!wanted) {
            return report(wanted.error(), failure);
        }
        auto granted = acquire(connection->bus, {devices, devices + device_count}, *wanted);
        if (!granted) {
            return report(granted.error(), failure);
        }
        *lease = lease_of(std::move(*granted));
        return 0;
    });
}

int iommud_lease_adopt(int channel, iommud_lease** lease, iommud_failure* failure) {
    *lease = nullptr;
    return guarded(failure, [=] {
        int type = 0;
        socklen_t size = sizeof type;
        if (::getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
            return report(system_failed("adopt a lease descriptor", errno).value(), failure);
        }
        if (type != SOCK_SEQPACKET) {
            return report(failed(IOMMUD_ERROR_INVALID_ARGUMENT, "this descriptor is no lease channel").value(),
                          failure);
        }
        auto adopted = std::unique_ptr<iommud_lease>(new iommud_lease{LeaseChannel(UniqueFd()), {}, {}});
        adopted->channel = LeaseChannel(UniqueFd(channel));
        *lease = adopted.release();
        return 0;
    });
}

void iommud_lease_close(iommud_lease* lease) {
    delete lease;
}

const char* iommud_lease_path(const iommud_lease* lease) {
    return lease->path.c_str();
}

int iommud_lease_simulated(const iommud_lease* lease) {
    return lease->simulated ? 1 : 0;
}

size_t iommud_lease_fd_count(const iommud_lease* lease) {
    return 1 + lease->fds.size();
}

const char* iommud_lease_fd_name(const iommud_lease* lease, size_t index) {
    if (index == 0) {
        return lease_name;
    }
    return index <= lease->fds.size() ? lease->fds[index - 1].name.c_str() : nullptr;
}

int iommud_lease_fd(const iommud_lease* lease, const char* name) {
    if (std::strcmp(name, lease_name) == 0) {
        return lease->channel.fd().get();
    }
    const auto found =
        std::find_if(lease->fds.begin(), lease->fds.end(), [name](const NamedFd& fd) { return fd.name == name; });
    return found == lease->fds.end() ? -1 : found->fd.get();
}

int iommud_map(iommud_lease* lease, int memfd, uint64_t offset, uint64_t length, uint32_t flags, uint64_t* iova,
               iommud_failure* failure) {
    return guarded(failure, [=] {
        return give_number(lease->channel.map(BorrowedFd(memfd), offset, length, flags, *iova), iova, failure);
    });
}

int iommud_unmap(iommud_lease* lease, uint64_t iova, uint64_t length, uint64_t* unmapped, iommud_failure* failure) {
    return guarded(failure, [=] { return give_number(lease->channel.unmap(iova, length, 0), unmapped, failure); });
}

int iommud_unmap_all(iommud_lease* lease, uint64_t* unmapped, iommud_failure* failure) {
    return guarded(failure,
                   [=] { return give_number(lease->channel.unmap(0, 0, IOMMUD_UNMAP_ALL), unmapped, failure); });
}

int iommud_query(iommud_lease* lease, iommud_query_reply* reply, iommud_failure* failure) {
    return guarded(failure, [=] {
        const auto answer = lease->channel.query();
        if (!answer) {
            return report(answer.error(), failure);
        }
        *reply = *answer;
        return 0;
    });
}

int iommud_dup(iommud_lease* lease, int* channel, iommud_failure* failure) {
    *channel = -1;
    return guarded(failure, [=] {
        auto copy = lease->channel.dup();
        if (!copy) {
            return report(copy.error(), failure);
        }
        *channel = copy->release();
        return 0;
    });
}

int iommud_release(iommud_lease* lease, iommud_failure* failure) {
    return guarded(failure, [=] {
        const auto released = lease->channel.release();
        return released ? 0 : report(released.error(), failure);
    });
}

int iommud_next_event(iommud_lease* lease, int timeout_ms, iommud_event* event, iommud_failure* failure) {
    return guarded(failure, [=] {
        std::optional<ChannelTransport::Clock::time_point> deadline;
        if (timeout_ms >= 0) {
            deadline = ChannelTransport::Clock::now() + std::chrono::milliseconds(timeout_ms);
        }
        const auto next = lease->channel.next_event(deadline);
        if (!next) {
            return report(next.error(), failure);
        }
        *event = *next;
        return 0;
    });
}

int iommud_memory_create(size_t length, uint32_t flags, iommud_memory** memory, iommud_failure* failure) {
    *memory = nullptr;
    return guarded(failure, [=] {
        auto created = DmaMemory::create(length, flags);
        if (!created) {
            return report(created.error(), failure);
        }
        *memory = new iommud_memory{std::move(*created)};
        return 0;
    });
}

void* iommud_memory_address(const iommud_memory* memory) {
    return memory->memory.address();
}
size_t iommud_memory_length(const iommud_memory* memory) {
    return memory->memory.length();
}
int iommud_memory_fd(const iommud_memory* memory) {
    return memory->memory.fd().get();
}
void iommud_memory_free(iommud_memory* memory) {
    delete memory;
}

}  // extern "C"
