// Decisions: a policy, a subject and a request made of the input's bytes, so that what is tried is what loads. What
// holds for every policy is checked for each (tests/unit/policy/property_test.cpp has the reasons).
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "policy/evaluate.hpp"
#include "policy/load.hpp"

namespace {

using namespace iommud;

// The input, byte by byte; after its end what a generator makes of it, so that a short input asks many questions.
class Bytes {
  public:
    Bytes(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
    std::uint8_t next() {
        if (left_ == 0) {
            state_ = state_ * 6364136223846793005U + 1442695040888963407U;
            return static_cast<std::uint8_t>(state_ >> 56U);
        }
        --left_;
        state_ = (state_ ^ *data_) * 1099511628211U;
        return *data_++;
    }
    std::size_t below(std::size_t count) { return next() % count; }
    bool flag() { return next() % 2 == 1; }
    template <class T, std::size_t Count>
    const T& pick(const T (&from)[Count]) {
        return from[below(Count)];
    }

  private:
    const std::uint8_t* data_;
    std::size_t left_;
    std::uint64_t state_ = 1;
};

std::string subject_of(Bytes& bytes, bool deny) {
    const char* const parts[] = {R"("user": "alice")",    R"("user": "bob")",    R"("group": "vfio")",
                                 R"("group": "kvm")",     R"("uids": "0-1000")", R"("uids": "100000-200000")",
                                 R"("unit": "a.service")"};
    std::string text = bytes.pick(parts);
    if (bytes.flag()) {
        text += text.find("unit") == std::string::npos ? R"(, "unit": "b.scope")" : R"(, "uids": "1000-1001")";
    }
    if (bytes.flag()) {
        text += R"(, "endpoint": "web*")";
    }
    return "{" + text + (!deny && bytes.flag() ? R"(, "annotation": "team=a"})" : "}");
}

std::string device_of(Bytes& bytes) {
    const char* const addresses[] = {"*",      "0000:00:04.0", "0000:00:*",   "0000:00:04.*",
                                     "0000:*", "*:04.0",       "0000:0?:04.0"};
    std::string text = bytes.flag() ? fmt::format(R"("address": "{}")", bytes.pick(addresses)) : "";
    const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    if (bytes.flag()) {
        add(fmt::format(R"("vendor": "{:04x}")", 0x1234 + bytes.below(2)));
        if (bytes.flag()) {
            add(fmt::format(R"("device": "{:04x}")", 0x11e8 + bytes.below(2)));
        }
    }
    if (bytes.flag()) {
        const char* const classes[] = {"00", "00ff", "00ff00", "02"};
        add(fmt::format(R"("class": "{}")", bytes.pick(classes)));
    }
    if (text.empty() || bytes.flag()) {
        add(fmt::format(R"("iommu_group": {})", bytes.below(3)));
    }
    return "{" + text + "}";
}

std::string rule_of(Bytes& bytes, std::size_t number) {
    const bool deny = bytes.below(4) == 0;
    const char* const modes[] = {"", R"(, "modes": ["managed"])", R"(, "modes": ["direct", "legacy"])"};
    const char* const grants[] = {"", R"(, "memory": "1MiB")", R"(, "memory": "50%", "maps": 3)",
                                  R"(, "allow_no_reset": true)"};
    std::string text = fmt::format(R"({{"id": "r{}", "effect": "{}", "devices": [{}, {}]{})", number,
                                   deny ? "deny" : "allow", device_of(bytes), device_of(bytes), bytes.pick(modes));
    if (!deny || bytes.flag()) {
        text += fmt::format(R"(, "subjects": [{}, {}])", subject_of(bytes, deny), subject_of(bytes, deny));
    }
    return text + (deny ? "" : bytes.pick(grants)) + "}";
}

policy::Policy load(const std::vector<std::string>& rules) {
    static const policy::Names names(
        "root:x:0:0::/root:/bin/sh\nalice:x:1000:100::/home/alice:/bin/sh\nbob:x:1001:100::/home/bob:/bin/sh\n",
        "users:x:100:\nvfio:x:107:alice\nkvm:x:108:bob\n", "alice:100000:65536\nbob:165536:65536\n");
    policy::SourceFile file{"fuzz.json", R"({"version": 1, "accounts": [{"match": {"user": "alice"}, "memory": "1GiB"},
        {"match": {"uids": "100000-165535"}, "charge": "alice"}, {"match": {"group": "kvm"}, "memory": "2MiB"}],
        "rules": [)"};
    for (const std::string& rule : rules) {
        file.text += (&rule == rules.data() ? "" : ", ") + rule;
    }
    file.text += "]}";
    auto policy = policy::load(std::span(&file, 1), names, 8 * GiB);
    if (!policy) {
        std::abort();  // the rules above are meant to be good
    }
    return std::move(*policy);
}

policy::Subject asker(Bytes& bytes) {
    const std::uint32_t uids[] = {0, 1000, 1001, 100000, 165536, 0x70000000, 0xffffffff};
    const std::optional<std::string> units[] = {std::nullopt, "", "a.service", "b.scope"};
    policy::Subject subject;
    subject.uid = bytes.pick(uids);
    subject.groups = bytes.flag() ? std::vector<std::uint32_t>{100, 107} : std::vector<std::uint32_t>{108};
    subject.unit = bytes.pick(units);
    subject.has_pidfd = bytes.flag();
    if (bytes.flag()) {
        subject.container = policy::Container{"web-1", bytes.pick(uids), {{"team", "a"}}};
    }
    return subject;
}

policy::DeviceFacts device(Bytes& bytes) {
    const char* const addresses[] = {"0000:00:04.0", "0000:00:04.1", "0000:01:04.0", "10000:00:04.0"};
    policy::DeviceFacts facts;
    facts.address = *PciAddress::parse(bytes.pick(addresses));
    if (bytes.flag()) {
        facts.vendor = static_cast<std::uint16_t>(0x1234 + bytes.below(2));
        facts.device = static_cast<std::uint16_t>(0x11e8 + bytes.below(2));
    }
    if (bytes.flag()) {
        facts.class_code = 0x00ff00;
    }
    if (bytes.flag()) {
        facts.iommu_group = static_cast<int>(bytes.below(3));
    }
    return facts;
}

policy::Request request(Bytes& bytes) {
    policy::Request asked;
    for (std::size_t i = bytes.below(4); i > 0; --i) {
        asked.asked.push_back(device(bytes));
    }
    asked.group_members = asked.asked;
    if (bytes.flag()) {
        asked.group_members.push_back(device(bytes));
    }
    asked.mode = static_cast<Mode>(bytes.below(3));
    if (bytes.flag()) {
        const std::uint64_t sizes[] = {0, 1, MiB, MiB + 1, 2 * MiB, 2 * GiB, ~std::uint64_t{0}};
        asked.memory = bytes.pick(sizes);
    }
    return asked;
}

void must(bool holds) {
    if (!holds) {
        std::abort();
    }
}

bool same(const policy::Decision& left, const policy::Decision& right) {
    return left.allowed == right.allowed && left.code == right.code && left.rule == right.rule &&
           (left.allowed || left.message == right.message) && left.memory == right.memory && left.maps == right.maps &&
           left.allow_no_reset == right.allow_no_reset && left.account == right.account;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Bytes bytes(data, size);
    std::vector<std::string> rules;
    for (std::size_t i = 1 + bytes.below(5); i > 0; --i) {
        rules.push_back(rule_of(bytes, i));
    }
    const policy::Policy all = load(rules);
    policy::Policy reversed = all;
    std::reverse(reversed.rules.begin(), reversed.rules.end());
    policy::build_index(reversed);
    policy::Policy fewer = all;
    const bool last_denies = fewer.rules.back().effect == policy::Effect::deny;
    fewer.rules.pop_back();
    policy::build_index(fewer);
    for (int i = 0; i < 64; ++i) {
        const policy::Subject subject = asker(bytes);
        const policy::Request asked = request(bytes);
        const policy::Decision decision = policy::evaluate(all, subject, asked);
        const bool before = policy::evaluate(fewer, subject, asked).allowed;
        must(same(decision, policy::evaluate(reversed, subject, asked)));
        must(same(decision, policy::explain(all, subject, asked, policy::TraceScope::all)));
        must(same(decision, policy::explain(all, subject, asked, policy::TraceScope::own)));
        must(last_denies ? decision.allowed <= before : decision.allowed >= before);
        must(!decision.allowed || (decision.account && decision.memory <= decision.account->memory));
        must(decision.allowed || !decision.message.empty());
    }
    return 0;
}
