#include <fmt/format.h>

#include "policy/parse.hpp"

namespace iommud::policy {
namespace {

constexpr std::uint32_t most_leases = 65536;
constexpr std::uint32_t most_devices = 65536;

// {"user": NAME}, {"uids": RANGE} or {"group": NAME}: exactly one, so that it is plain which of two entries is the
// more specific.
void read_match(LoadContext& context, const JsonValue& value, AccountEntry& account) {
    const ObjectReader match(context, value, {"user", "uids", "group"});
    const auto user = match.find("user");
    const auto uids = match.find("uids");
    const auto group = match.find("group");
    if (match.is_object() && (user ? 1 : 0) + (uids ? 1 : 0) + (group ? 1 : 0) != 1) {
        context.error_at(value, R"(exactly one of "user", "uids" and "group")");
        return;
    }
    if (user) {
        account.user = read_user(context, *user, Unknown::warning, account.nobody);
        account.text = fmt::format("user {}", user->text());
    } else if (uids) {
        account.uids = read_uids(context, *uids);
        account.text = fmt::format("uids {}", uids->text());
    } else if (group) {
        account.group = read_group(context, *group, Unknown::warning, account.nobody);
        account.text = fmt::format("group {}", group->text());
    }
}

void read_limits(LoadContext& context, const ObjectReader& reader, AccountEntry& account) {
    if (const auto memory = reader.find("memory")) {
        account.memory = read_size(context, *memory).value_or(0);
    } else if (reader.is_object()) {
        context.error_at(reader.value(), R"("memory" or "charge" is missing)");
    }
    if (const auto leases = reader.find("leases")) {
        account.leases = read_count(context, *leases, 1, most_leases).value_or(0);
    }
    if (const auto devices = reader.find("devices")) {
        account.devices = read_count(context, *devices, 1, most_devices).value_or(0);
    }
}

void read_charge(LoadContext& context, const ObjectReader& reader, const JsonValue& charge, AccountEntry& account) {
    bool nobody = false;
    account.charge = read_user(context, charge, Unknown::error, nobody);
    for (const char* key : {"memory", "leases", "devices"}) {
        if (const auto limit = reader.find(key)) {
            context.error_at(*limit, fmt::format("\"{}\" beside \"charge\": the account that pays has its own", key));
        }
    }
}

}  // namespace

std::optional<AccountEntry> read_account(LoadContext& context, const JsonValue& value) {
    const ObjectReader reader(context, value, {"match", "memory", "leases", "devices", "charge"});
    AccountEntry account;
    account.where = context.where(value);
    const auto match = reader.require("match");
    if (match) {
        read_match(context, *match, account);
    }
    if (const auto charge = reader.find("charge")) {
        read_charge(context, reader, *charge, account);
    } else {
        read_limits(context, reader, account);
    }
    return account.user || account.uids || account.group || account.nobody ? std::optional(account) : std::nullopt;
}

std::optional<std::uint32_t> read_user(LoadContext& context, const JsonValue& value, Unknown unknown, bool& nobody) {
    const auto name = read_string(context, value, R"(a user's name, such as "alice")");
    const auto uid = name ? context.names.uid_of(*name) : std::nullopt;
    if (uid && *uid > highest_policy_uid) {
        context.error(value, fmt::format("a user with a uid above {}", highest_policy_uid));
        return std::nullopt;
    }
    if (name && !uid) {
        nobody = true;
        std::string message = fmt::format("{}: no such user in /etc/passwd", value.shown());
        unknown == Unknown::error ? context.error_at(value, std::move(message))
                                  : context.warning_at(value, message + "; matches nobody");
    }
    return uid;
}

std::optional<std::uint32_t> read_group(LoadContext& context, const JsonValue& value, Unknown unknown, bool& nobody) {
    const auto name = read_string(context, value, R"(a group's name, such as "vfio")");
    const auto gid = name ? context.names.gid_of(*name) : std::nullopt;
    if (name && !gid) {
        nobody = true;
        std::string message = fmt::format("{}: no such group in /etc/group", value.shown());
        unknown == Unknown::error ? context.error_at(value, std::move(message))
                                  : context.warning_at(value, message + "; matches nobody");
    }
    return gid;
}

}  // namespace iommud::policy
