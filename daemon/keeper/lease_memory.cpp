#include "daemon/keeper/lease_memory.hpp"

#include <algorithm>
#include <cerrno>

#include "daemon/base/bytes.hpp"
#include "daemon/keeper/iova_checks.hpp"
#include "daemon/keeper/memory_checks.hpp"

namespace iommud::keeper {
namespace {

// The kernel's refusal of a map, as a client understands it.
iommud_error error_of(int error_number) {
    switch (error_number) {
        case ENOMEM:  // the account's count is at its limit, or its memory cgroup is full, or vm.max_map_count is
                      // reached
            return IOMMUD_ERROR_MEMORY_LIMIT;
        case EACCES:  // both of the keeper's mmap: the kernel looks at the descriptor's mode and at the seals
        case EPERM:
        case EFAULT:
            return IOMMUD_ERROR_INVALID_MEMORY;
        case EINVAL:
        case EEXIST:
        case EADDRINUSE:
        case EOVERFLOW:
            return IOMMUD_ERROR_INVALID_ARGUMENT;
        default:
            return IOMMUD_ERROR_KERNEL;
    }
}

}  // namespace

iommud_reply LeaseMemory::refusal(const iommud_request& request, int error_number) const {
    const iommud_error error = error_of(error_number);
    const auto number = static_cast<std::uint64_t>(error_number);
    return make_reply(request, error,
                      error == IOMMUD_ERROR_MEMORY_LIMIT       ? left()
                      : error == IOMMUD_ERROR_KERNEL           ? number
                      : error == IOMMUD_ERROR_INVALID_ARGUMENT ? fault_value(IOMMUD_IOVA_REFUSED, request.iova)
                      : error_number == EFAULT                 ? std::uint64_t{IOMMUD_MEMORY_NO_PAGES}
                                                               : std::uint64_t{IOMMUD_MEMORY_NOT_WRITABLE});
}

iommud_reply LeaseMemory::map(const iommud_request& request, BorrowedFd memory) {
    const kernel::Access access{(request.flags & IOMMUD_MAP_READ) != 0, (request.flags & IOMMUD_MAP_WRITE) != 0};
    const bool fixed = (request.flags & IOMMUD_MAP_FIXED) != 0;
    // The limits come first. What is beyond them is refused whatever it is.
    if (table_.full()) {
        return make_reply(request, IOMMUD_ERROR_MAP_LIMIT, table_.capacity());
    }
    if (page_align_up(request.length) > left()) {
        return make_reply(request, IOMMUD_ERROR_MEMORY_LIMIT, left());
    }
    if (request.length > kernel::longest_map) {
        return make_reply(request, IOMMUD_ERROR_INVALID_ARGUMENT, fault_value(IOMMUD_ARGUMENT_LENGTH));
    }
    const MemoryVerdict verdict = check_memory(memory, request.offset, request.length);
    if (verdict.error != IOMMUD_ERROR_NONE) {
        return make_reply(request, verdict.error, verdict.value);
    }
    if (geometry_.alignment > page_size && request.length % geometry_.alignment != 0) {
        return make_reply(request, IOMMUD_ERROR_INVALID_ARGUMENT,
                          fault_value(IOMMUD_ARGUMENT_LENGTH, geometry_.alignment));
    }
    if (fixed) {
        if (const auto fault = iova_fault(geometry_, table_, request.iova, request.length)) {
            return make_reply(request, IOMMUD_ERROR_INVALID_ARGUMENT, *fault);
        }
    }
    if (!table_.make_room()) {
        return make_reply(request, IOMMUD_ERROR_MEMORY_LIMIT, left());
    }
    kernel::MapRequest wanted{memory, request.offset, request.length, verdict.page_size, std::nullopt, access};
    if (fixed) {
        wanted.iova = request.iova;
    } else if (!context_.chooses_iova()) {
        wanted.iova = find_iova(table_.all(), geometry_.usable(), request.length, geometry_.alignment);
        if (!wanted.iova) {
            return make_reply(request, IOMMUD_ERROR_KERNEL, ENOSPC);
        }
    }
    const kernel::MapResult result = context_.map(wanted);
    if (result.error != 0) {
        return refusal(request, result.error);
    }
    if (table_.overlapping(result.iova, request.length) != nullptr) {
        // Only after an unmap that failed half-way: the kernel has less than we know of.
        static_cast<void>(
            context_.unmap({result.iova, static_cast<std::uint32_t>(request.length / page_size), result.place}));
        return make_reply(request, IOMMUD_ERROR_KERNEL, EEXIST);
    }
    table_.insert({result.iova, static_cast<std::uint32_t>(request.length / page_size), result.place});
    return make_reply(request, IOMMUD_ERROR_NONE, result.iova);
}

iommud_reply LeaseMemory::unmap(const iommud_request& request) {
    if ((request.flags & IOMMUD_UNMAP_ALL) != 0) {
        const std::uint64_t bytes = table_.bytes();
        const int error = unmap_all();
        return error != 0 ? make_reply(request, IOMMUD_ERROR_KERNEL, static_cast<std::uint64_t>(error))
                          : make_reply(request, IOMMUD_ERROR_NONE, bytes);
    }
    const kernel::Map* const found = table_.find(request.iova);
    if (found == nullptr || (request.length != 0 && request.length != found->length())) {
        return make_reply(request, IOMMUD_ERROR_NO_SUCH_MAP, 0);
    }
    const kernel::Map map = *found;
    // ENOENT: an unmap of everything that failed half-way had already done this one.
    if (const int error = context_.unmap(map); error != 0 && error != ENOENT) {
        return make_reply(request, IOMMUD_ERROR_KERNEL, static_cast<std::uint64_t>(error));
    }
    table_.erase(map.iova);
    return make_reply(request, IOMMUD_ERROR_NONE, map.length());
}

int LeaseMemory::unmap_all() {
    const int error = context_.unmap_all(table_.all());
    if (error == 0) {
        table_.clear();
    }
    return error;
}

iommud_query_reply LeaseMemory::query(const iommud_request& request, std::uint32_t channels) const {
    iommud_query_reply reply{};
    reply.kind = IOMMUD_QUERY_REPLY;
    reply.cookie = request.cookie;
    reply.memory_reserved = reserve_;
    reply.memory_mapped = table_.bytes();
    reply.page_sizes = geometry_.page_sizes;
    reply.iova_alignment = geometry_.alignment;
    reply.maps = table_.size();
    reply.most_maps = table_.capacity();
    reply.channels = channels;
    reply.range_count = geometry_.range_count;
    static_assert(kernel::Geometry::most_ranges == sizeof reply.ranges / sizeof reply.ranges[0]);
    std::transform(geometry_.ranges.begin(), geometry_.ranges.end(), reply.ranges, [](const kernel::IovaRange& range) {
        return iommud_iova_range{range.first, range.last};
    });
    return reply;
}

}  // namespace iommud::keeper
