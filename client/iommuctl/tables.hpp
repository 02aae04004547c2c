// What the verbs show people, out of the daemon's answers. Pure.
#pragma once

#include <string>

#include "client/iommuctl/text.hpp"
#include "client/iommuctl/values.hpp"

namespace iommud::ctl {

[[nodiscard]] std::string status_text(const json& status, const Style& style);
[[nodiscard]] std::string devices_text(const json& devices, const Style& style);
[[nodiscard]] std::string device_text(const json& device);
[[nodiscard]] std::string leases_text(const json& leases, const Style& style);
[[nodiscard]] std::string lease_text(const json& lease);
[[nodiscard]] std::string accounts_text(const json& accounts, const Style& style);
[[nodiscard]] std::string policy_text(const json& entries, const Style& style);
[[nodiscard]] std::string explanation_text(const json& explanation, const Style& style);

// What status prints as JSON, and status_text as text: the manager's properties, and how many objects there are.
[[nodiscard]] json status_of(const json& manager, const json& objects, const std::string& address);

}  // namespace iommud::ctl
