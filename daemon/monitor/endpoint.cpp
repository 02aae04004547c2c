#include "daemon/monitor/endpoint.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/base/bounds.hpp"
#include "daemon/base/bytes.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::monitor {
namespace {

Result<void> check_annotations(const std::map<std::string, std::string>& annotations) {
    std::size_t bytes = 0;
    for (const auto& [key, value] : annotations) {
        bytes += annotation_bytes(key, value);
        if (!valid_annotation(key, value)) {
            return fail(ErrorCode::invalid_argument,
                        fmt::format("an annotation is a key of 1 to {} and a value of at most {} printable bytes",
                                    longest_annotation_key, longest_annotation_value));
        }
    }
    if (annotations.size() > most_annotations || bytes > most_annotation_bytes) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} annotations of {} bytes, at most {} of {} bytes are taken", annotations.size(),
                                bytes, most_annotations, most_annotation_bytes));
    }
    return {};
}

}  // namespace

std::string EndpointRecord::key() const {
    return fmt::format("{}@{}.{}", id, pid, start);
}

Result<void> check_endpoint(const ipc::OpenEndpointRequest& request) {
    if (!valid_endpoint_id(request.id)) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("an endpoint's id has 1 to {} letters, digits, '-', '_' and '.', and does not begin "
                                "with '.'",
                                longest_endpoint_id));
    }
    if (request.devices.size() > most_lease_devices) {
        return fail(ErrorCode::invalid_argument, fmt::format("{} devices for one container, at most {} are possible",
                                                             request.devices.size(), most_lease_devices));
    }
    if (request.memory && *request.memory < page_size) {
        return fail(ErrorCode::invalid_argument, fmt::format("memory of {} bytes is not even a page", *request.memory));
    }
    if (request.memory && *request.memory > most_memory) {
        return fail(
            ErrorCode::invalid_argument,
            fmt::format("memory of {} bytes for one container, at most {} are possible", *request.memory, most_memory));
    }
    return check_annotations(request.annotations);
}

Result<std::optional<std::uint64_t>> within_endpoint(const EndpointRecord* endpoint,
                                                     const std::vector<PciAddress>& devices,
                                                     std::optional<std::uint64_t> memory) {
    if (endpoint == nullptr) {
        return memory;
    }
    for (const PciAddress& device : devices) {
        if (!endpoint->devices.empty() &&
            std::find(endpoint->devices.begin(), endpoint->devices.end(), device) == endpoint->devices.end()) {
            return fail(ErrorCode::access_denied,
                        fmt::format("{} is not among the devices that container {} was started with", device.text(),
                                    endpoint->id));
        }
    }
    if (memory && endpoint->memory && *memory > *endpoint->memory) {
        return fail(ErrorCode::memory_limit, fmt::format("{} bytes asked; container {} was started with {}", *memory,
                                                         endpoint->id, format_bytes(*endpoint->memory)));
    }
    return memory ? memory : endpoint->memory;
}

}  // namespace iommud::monitor
