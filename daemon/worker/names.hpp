// Where our objects are and what their interfaces are called.
#pragma once

#include <string>
#include <string_view>

#include "daemon/ipc/types.hpp"

namespace iommud::worker {

inline constexpr const char* bus_name = "org.iommud1";
inline constexpr const char* manager_path = "/org/iommud1";
inline constexpr const char* device_prefix = "/org/iommud1/device";
inline constexpr const char* lease_prefix = "/org/iommud1/lease";
inline constexpr std::string_view lease_prefix_slash = "/org/iommud1/lease/";
inline constexpr const char* manager_interface = "org.iommud1.Manager";
inline constexpr const char* device_interface = "org.iommud1.Device";
inline constexpr const char* lease_interface = "org.iommud1.Lease";

// "/org/iommud1/device/_30000_3a81_3a00_2e0", as sd_bus_path_encode(3) makes it.
[[nodiscard]] std::string device_path(const PciAddress& address);
// "/org/iommud1/lease/17"; "/" for lease 0, which is none.
[[nodiscard]] std::string lease_path(LeaseId lease);

}  // namespace iommud::worker
