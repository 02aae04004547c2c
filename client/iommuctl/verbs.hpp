// iommuctl's verbs: one file each. Each asks the daemon, prints, and returns the exit code.
#pragma once

#include <string>

#include "client/iommuctl/command_line.hpp"
#include "client/iommuctl/text.hpp"
#include "client/iommuctl/values.hpp"

namespace iommud::ctl {

[[nodiscard]] Outcome<int> perform(const Status& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const Devices& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const DeviceShow& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const Leases& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const LeaseShow& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const LeaseRevoke& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const Accounts& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const Reload& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const PolicyCheck& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const PolicyShow& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const PolicyExplain& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const CdiGenerate& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const CdiList& verb, const Settings& settings);
[[nodiscard]] Outcome<int> perform(const Run& verb, const Settings& settings);

// How to print on `fd`: colour only on a terminal that has it, and where NO_COLOR is not set.
[[nodiscard]] Style style_for(const Settings& settings, int fd);

// Prints on stdout; a stdout that takes nothing more is a failure.
[[nodiscard]] Outcome<int> print(const std::string& text);
[[nodiscard]] Outcome<int> print_json(const json& value);

// What to do about a failure, one line, or "".
[[nodiscard]] std::string hint_for(const lib::Failure& failure);

}  // namespace iommud::ctl
