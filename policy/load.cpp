#include "policy/load.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "policy/check.hpp"
#include "policy/parse.hpp"

namespace iommud::policy {
namespace {

// What is said once, in one file: `where` remembers which.
bool first_time(LoadContext& context, const JsonValue& value, const Policy& policy, std::optional<Where>& where) {
    if (where) {
        context.error_at(value, fmt::format("already given at {}", policy.text(*where)));
        return false;
    }
    where = context.where(value);
    return true;
}

void read_host(LoadContext& context, const JsonValue& value, Policy& policy) {
    const ObjectReader reader(context, value, {"memory", "bus_acquire"});
    if (const auto bus_acquire = reader.find("bus_acquire")) {
        if (first_time(context, *bus_acquire, policy, policy.bus_acquire_where)) {
            policy.bus_acquire = read_boolean(context, *bus_acquire).value_or(false);
        }
    } else if (!reader.find("memory")) {
        static_cast<void>(reader.require("memory"));
    }
    const auto memory = reader.find("memory");
    if (memory && first_time(context, *memory, policy, policy.host_where)) {
        policy.host_memory = read_size(context, *memory).value_or(policy.host_memory);
    }
}

void read_version(LoadContext& context, const JsonValue& value) {
    if (value.unsigned_integer() != std::uint64_t{1}) {
        context.error(value, "this iommud knows version 1 of the language");
    }
}

std::vector<JsonValue> entries_of(LoadContext& context, const ObjectReader& reader, std::string_view key) {
    const auto list = reader.find(key);
    return list ? read_list(context, *list, key, Empty::allowed) : std::vector<JsonValue>{};
}

void read_file(LoadContext& context, const Document& document, Policy& policy, EntryPlaces& places) {
    const ObjectReader reader(context, document.root(), {"$schema", "version", "host", "accounts", "rules"});
    if (const auto version = reader.require("version")) {
        read_version(context, *version);
    }
    if (const auto schema = reader.find("$schema")) {  // for editors
        static_cast<void>(read_string(context, *schema, "the schema's address"));
    }
    if (const auto host = reader.find("host")) {
        read_host(context, *host, policy);
    }
    for (const JsonValue& entry : entries_of(context, reader, "accounts")) {
        if (auto account = read_account(context, entry)) {
            policy.accounts.push_back(std::move(*account));
            places.accounts.push_back(entry);
        }
    }
    for (const JsonValue& entry : entries_of(context, reader, "rules")) {
        if (auto rule = read_rule(context, entry)) {
            policy.rules.push_back(std::move(*rule));
            places.rules.push_back(entry);
        }
    }
}

void sort_and_count(Diagnostics& errors, std::size_t suppressed) {
    std::sort(errors.begin(), errors.end());
    if (suppressed > 0) {
        Diagnostic more;
        more.file = errors.back().file;
        more.message = fmt::format("and {} more errors", suppressed);
        errors.push_back(more);
    }
}

}  // namespace

tl::expected<Policy, Diagnostics> load(std::span<const SourceFile> files, const Names& names,
                                       std::uint64_t host_total_memory) {
    Diagnostics warnings;
    return load(files, names, host_total_memory, warnings);
}

tl::expected<Policy, Diagnostics> load(std::span<const SourceFile> files, const Names& names,
                                       std::uint64_t host_total_memory, Diagnostics& warnings) {
    Policy policy = deny_everything(names, host_total_memory);
    Diagnostics errors;
    LoadContext context{
        .names = names, .host_total_memory = host_total_memory, .errors = errors, .warnings = policy.warnings};
    std::vector<Document> documents;
    documents.reserve(files.size());  // the values found point into them
    EntryPlaces places;
    for (const SourceFile& file : files) {
        policy.files.push_back(file.name);
        context.file = static_cast<std::uint32_t>(policy.files.size() - 1);
        auto document = Document::parse(file.name, file.text);
        if (!document) {
            context.full() ? static_cast<void>(++context.suppressed) : errors.push_back(std::move(document.error()));
            continue;
        }
        documents.push_back(std::move(*document));
        read_file(context, documents.back(), policy, places);
    }
    check_rule_ids(context, policy, places);
    check_accounts(context, policy, places);
    if (!errors.empty()) {
        sort_and_count(errors, context.suppressed);
        std::sort(policy.warnings.begin(), policy.warnings.end());
        warnings = std::move(policy.warnings);
        return tl::unexpected(std::move(errors));
    }
    build_index(policy);
    add_warnings(context, policy, places);
    std::sort(policy.warnings.begin(), policy.warnings.end());
    warnings = policy.warnings;
    return policy;
}

Policy deny_everything(const Names& names, std::uint64_t host_total_memory) {
    Policy policy;
    policy.names = names;
    policy.host_memory = percent_of(host_total_memory, default_host_percent);
    return policy;
}

}  // namespace iommud::policy
