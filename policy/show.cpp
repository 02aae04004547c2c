#include "policy/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace iommud::policy {
namespace {

template <class Patterns>
std::string texts_of(const Patterns& patterns, const char* when_empty) {
    std::vector<std::string> texts;
    texts.reserve(patterns.size());
    for (const auto& pattern : patterns) {
        texts.push_back(patterns.size() > 1 ? "(" + pattern.text + ")" : pattern.text);
    }
    return texts.empty() ? when_empty : alternatives(texts);
}

std::string modes_of(ModeSet modes) {
    std::string text;
    for (const Mode mode : {Mode::managed, Mode::direct, Mode::legacy}) {
        if ((modes & mode_bit(mode)) != 0) {
            text += fmt::format("{}{}", text.empty() ? "" : ", ", name_of(mode));
        }
    }
    return text;
}

ShownEntry shown(const Policy& policy, const AccountEntry& account) {
    ShownEntry entry{"account", account.text, "", policy.text(account.where)};
    entry.says =
        fmt::format("{}, {} leases, {} devices", format_bytes(account.memory), account.leases, account.devices);
    if (account.charge) {
        entry.says = fmt::format("charged to {}: {}", policy.names.user_text(*account.charge), entry.says);
    }
    return entry;
}

ShownEntry shown(const Policy& policy, const Rule& rule) {
    ShownEntry entry{rule.effect == Effect::allow ? "allow" : "deny", rule.id, "", policy.text(rule.where)};
    entry.says = fmt::format("{}: {}; modes {}", texts_of(rule.subjects, "everybody"),
                             texts_of(rule.devices, "every device"), modes_of(rule.modes));
    if (rule.memory) {
        entry.says += fmt::format("; at most {}", format_bytes(*rule.memory));
    }
    if (rule.maps) {
        entry.says += fmt::format("; at most {} maps", *rule.maps);
    }
    entry.says += rule.allow_no_reset ? "; also without reset" : "";
    entry.says += rule.allow_uncleared_memory ? "; also where freed memory is not cleared" : "";
    entry.says += rule.vf_token ? "; with a VF token" : "";
    return entry;
}

}  // namespace

ipc::Texts ShownEntry::texts() const {
    return {{"kind", kind}, {"name", name}, {"says", says}, {"where", where}};
}

std::vector<ShownEntry> show(const Policy& policy) {
    std::vector<ShownEntry> entries{{"host", "",
                                     format_bytes(policy.host_memory) + " for all accounts together" +
                                         (policy.bus_acquire ? "; leases on the system bus, too" : ""),
                                     policy.host_where ? policy.text(*policy.host_where) : ""}};
    for (const AccountEntry& account : policy.accounts) {
        entries.push_back(shown(policy, account));
    }
    for (const Rule& rule : policy.rules) {
        entries.push_back(shown(policy, rule));
    }
    const auto place = [](const ShownEntry& entry) {
        const int kind = entry.kind == "host" ? 0 : entry.kind == "account" ? 1 : entry.kind == "deny" ? 2 : 3;
        return std::make_tuple(kind, entry.name, entry.where);
    };
    std::sort(entries.begin(), entries.end(),
              [&place](const ShownEntry& left, const ShownEntry& right) { return place(left) < place(right); });
    return entries;
}

}  // namespace iommud::policy
