#include "client/lib/lease_channel.hpp"

#include <fmt/format.h>

#include <utility>

#include "daemon/base/bytes.hpp"
#include "daemon/base/error.hpp"

namespace iommud::lib {
namespace {

// A keeper sends one or two in a lease's life; more than these are a keeper gone mad.
constexpr std::size_t most_events = 64;

const char* memory_fault(std::uint64_t fault) {
    switch (fault) {
        case IOMMUD_MEMORY_NO_DESCRIPTOR:
            return "no descriptor came with the request";
        case IOMMUD_MEMORY_NOT_MEMORY:
            return "the descriptor is neither a memfd nor a file of tmpfs or hugetlbfs";
        case IOMMUD_MEMORY_NOT_WRITABLE:
            return "the descriptor does not allow it: the device was to write to memory that is read-only or sealed "
                   "against writing, or to read memory that is write-only";
        case IOMMUD_MEMORY_NO_PAGES:
            return "a page of the range cannot be had: it lies beyond the file's end, or there is no room for it";
        default:
            return "the memory is not fit to be mapped";
    }
}

std::string argument_fault(std::uint64_t value) {
    const std::uint64_t at = IOMMUD_FAULT_AT(value);
    switch (IOMMUD_FAULT(value)) {
        case IOMMUD_ARGUMENT_FIELD:
            return "a flag, a field or a descriptor that the request does not take; a map is for reading, writing or "
                   "both";
        case IOMMUD_ARGUMENT_LENGTH:
            return at == 0 ? "longer than a map can be"
                           : fmt::format("the length has to be whole pages of {:#x} bytes, at least one", at);
        case IOMMUD_ARGUMENT_OFFSET:
            return fmt::format("the offset has to be whole pages of {:#x} bytes, inside the file", at);
        case IOMMUD_IOVA_MISALIGNED:
            return fmt::format("the iova has to be a multiple of {:#x}", at);
        case IOMMUD_IOVA_IN_USE:
            return fmt::format("the map that starts at iova {:#x} is in the way", at);
        case IOMMUD_IOVA_RESERVED:
            return fmt::format("the platform keeps iova {:#x} for itself; a query says which ranges can be used", at);
        case IOMMUD_IOVA_BEYOND:
            return at == 0 ? "the range ends above all iovas that there are"
                           : fmt::format(
                                 "iova {:#x} lies above all that the devices and their IOMMU can address; a "
                                 "query says which ranges can be used",
                                 at);
        case IOMMUD_IOVA_REFUSED:
            return "the kernel refuses that iova, which lies in a range that can be used";
        default:
            return "not a range that can be used, not whole pages, or in use";
    }
}

// A page more than 12 MiB is not to be read as 12.0 MiB.
std::string exactly(std::uint64_t bytes) {
    std::string text = format_bytes(bytes);
    return text.find('.') == std::string::npos ? text : fmt::format("{} bytes", bytes);
}

const char* name_of_op(std::uint32_t op) {
    switch (op) {
        case IOMMUD_MAP:
            return "map";
        case IOMMUD_UNMAP:
            return "unmap";
        case IOMMUD_QUERY:
            return "query";
        case IOMMUD_DUP:
            return "duplicate the lease channel";
        case IOMMUD_RELEASE:
            return "release";
        default:
            return "request";
    }
}

std::string explain(const iommud_request& request, const iommud_reply& reply) {
    const char* op = name_of_op(request.op);
    switch (reply.error) {
        case IOMMUD_ERROR_MEMORY_LIMIT:
            return fmt::format("map {}: over the lease's memory, of which {} are free", exactly(request.length),
                               exactly(reply.value));
        case IOMMUD_ERROR_UNSUPPORTED_MODE:
            return fmt::format("{}: the lease is of mode direct: map in its own context", op);
        case IOMMUD_ERROR_INVALID_ARGUMENT:
            return fmt::format("{} {:#x} bytes at iova {:#x}, offset {:#x}: {}", op, request.length, request.iova,
                               request.offset, argument_fault(reply.value));
        case IOMMUD_ERROR_INVALID_MEMORY:
            return fmt::format("map {}: {}", exactly(request.length), memory_fault(reply.value));
        case IOMMUD_ERROR_LEASE_REVOKED:
            return fmt::format("{}: the lease was revoked", op);
        case IOMMUD_ERROR_MAP_LIMIT:
            return fmt::format("map: the lease has its {} maps", reply.value);
        case IOMMUD_ERROR_CHANNEL_LIMIT:
            return fmt::format("{}: the lease has its {} channels", op, reply.value);
        case IOMMUD_ERROR_NO_SUCH_MAP:
            return fmt::format("unmap: no map of {:#x} bytes starts at iova {:#x}", request.length, request.iova);
        case IOMMUD_ERROR_KERNEL:
            return errno_message(fmt::format("{}: the kernel refuses", op), static_cast<int>(reply.value & 0xfff));
        default:
            return fmt::format("{}: error {}", op, reply.error);
    }
}

tl::unexpected<Failure> refused(const iommud_request& request, const iommud_reply& reply) {
    const bool kernel = reply.error == IOMMUD_ERROR_KERNEL;
    // From 128 on the numbers are the library's own, and 0 would be success.
    const int code = reply.error < IOMMUD_ERROR_NO_DAEMON ? static_cast<int>(reply.error) : IOMMUD_ERROR_PROTOCOL;
    auto failure = failed(code, explain(request, reply));
    failure.value().value = reply.value;
    failure.value().error_number = kernel ? static_cast<int>(reply.value & 0xfff) : 0;
    return failure;
}

}  // namespace

tl::unexpected<Failure> LeaseChannel::broken(std::string message) {
    broken_ = true;
    return failed(IOMMUD_ERROR_PROTOCOL, std::move(message));
}

Outcome<void> LeaseChannel::keep_event(const iommud_reply& event) {
    if (events_.size() == most_events) {
        return broken("the lease channel sends events without end");
    }
    const bool revoked = event.kind == IOMMUD_REVOKED;
    events_.push_back({.kind = revoked ? static_cast<std::uint32_t>(IOMMUD_EVENT_REVOKED)
                                       : static_cast<std::uint32_t>(IOMMUD_EVENT_RELEASE_REQUESTED),
                       .reserved = 0,
                       .deadline = revoked ? 0 : event.value});
    return {};
}

Outcome<KeeperPacket> LeaseChannel::answer_to(const iommud_request& request) {
    for (;;) {
        KeeperPacket packet;
        const auto received = transport_.receive(packet, std::nullopt);
        if (!received) {
            broken_ = true;
            return tl::unexpected(received.error());
        }
        if (*received == Received::ended) {
            return failed(IOMMUD_ERROR_LEASE_REVOKED, fmt::format("{}: the lease has ended", name_of_op(request.op)));
        }
        if (*received != Received::packet) {
            return broken("the lease channel sent what is no frame of its protocol");
        }
        if (packet.reply.kind == IOMMUD_REVOKED || packet.reply.kind == IOMMUD_RELEASE_REQUESTED) {
            if (const auto kept = keep_event(packet.reply); !kept) {
                return tl::unexpected(kept.error());
            }
            continue;
        }
        if (packet.reply.cookie != request.cookie) {
            return broken("the lease channel answered another request: is the descriptor shared with another reader?");
        }
        if (packet.reply.error != 0) {
            return refused(request, packet.reply);
        }
        const bool wants_query = request.op == IOMMUD_QUERY;
        const bool wants_fd = request.op == IOMMUD_DUP;
        if (wants_query != (packet.reply.kind == IOMMUD_QUERY_REPLY) || wants_fd != packet.fd.valid()) {
            return broken("the lease channel's answer is of another kind than the request");
        }
        return packet;
    }
}

Outcome<KeeperPacket> LeaseChannel::ask(iommud_request request, BorrowedFd passed) {
    if (broken_) {
        return failed(IOMMUD_ERROR_PROTOCOL, "the lease channel can no longer be used: its answers did not match");
    }
    request.cookie = ++last_cookie_;
    const auto sent = transport_.send(request, passed);
    if (!sent) {
        return tl::unexpected(sent.error());
    }
    return answer_to(request);
}

Outcome<std::uint64_t> LeaseChannel::map(BorrowedFd memory, std::uint64_t offset, std::uint64_t length,
                                         std::uint32_t flags, std::uint64_t iova) {
    if (!memory.valid()) {
        return failed(IOMMUD_ERROR_INVALID_ARGUMENT, "map: not a descriptor");
    }
    const auto answer =
        ask({.op = IOMMUD_MAP, .flags = flags, .cookie = 0, .offset = offset, .length = length, .iova = iova}, memory);
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    if ((flags & IOMMUD_MAP_FIXED) != 0 && answer->reply.value != iova) {
        return broken("the lease channel mapped at another iova than asked");
    }
    return answer->reply.value;
}

Outcome<std::uint64_t> LeaseChannel::unmap(std::uint64_t iova, std::uint64_t length, std::uint32_t flags) {
    const auto answer =
        ask({.op = IOMMUD_UNMAP, .flags = flags, .cookie = 0, .offset = 0, .length = length, .iova = iova});
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    return answer->reply.value;
}

Outcome<iommud_query_reply> LeaseChannel::query() {
    const auto answer = ask({.op = IOMMUD_QUERY, .flags = 0, .cookie = 0, .offset = 0, .length = 0, .iova = 0});
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    return answer->query;
}

Outcome<UniqueFd> LeaseChannel::dup() {
    auto answer = ask({.op = IOMMUD_DUP, .flags = 0, .cookie = 0, .offset = 0, .length = 0, .iova = 0});
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    return std::move(answer->fd);
}

Outcome<void> LeaseChannel::release() {
    const auto answer = ask({.op = IOMMUD_RELEASE, .flags = 0, .cookie = 0, .offset = 0, .length = 0, .iova = 0});
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    return {};
}

Outcome<iommud_event> LeaseChannel::next_event(std::optional<ChannelTransport::Clock::time_point> deadline) {
    if (events_.empty()) {
        KeeperPacket packet;
        const auto received = transport_.receive(packet, deadline);
        if (!received) {
            return tl::unexpected(received.error());
        }
        switch (*received) {
            case Received::nothing:
                return iommud_event{};
            case Received::ended:
                return iommud_event{.kind = IOMMUD_EVENT_ENDED, .reserved = 0, .deadline = 0};
            case Received::malformed:
                return broken("the lease channel sent what is no frame of its protocol");
            case Received::packet:
                break;
        }
        if (packet.reply.kind != IOMMUD_REVOKED && packet.reply.kind != IOMMUD_RELEASE_REQUESTED) {
            return broken("the lease channel answered what nobody asked");
        }
        if (const auto kept = keep_event(packet.reply); !kept) {
            return tl::unexpected(kept.error());
        }
    }
    const iommud_event event = events_.front();
    events_.pop_front();
    return event;
}

}  // namespace iommud::lib
