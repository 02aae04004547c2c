// What holds for every policy: tried on random ones, from fixed seeds.
#include <algorithm>
#include <random>

#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

class Dice {
  public:
    explicit Dice(unsigned seed) : engine_(seed) {}
    std::size_t below(std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(engine_); }
    bool one_in(std::size_t count) { return below(count) == 0; }
    template <class T>
    const T& pick(const std::vector<T>& from) {
        return from[below(from.size())];
    }
    template <class T>
    void shuffle(std::vector<T>& values) {
        std::shuffle(values.begin(), values.end(), engine_);
    }

  private:
    std::mt19937 engine_;
};

const std::vector<std::string> subjects{R"({"user": "alice"})",
                                        R"({"user": "bob"})",
                                        R"({"user": "carol"})",
                                        R"({"group": "vfio"})",
                                        R"({"group": "kvm"})",
                                        R"({"group": "users", "user": "bob"})",
                                        R"({"uids": "1000-1001"})",
                                        R"({"uids": "100000-200000"})",
                                        R"({"uids": "0-2147483647"})",
                                        R"({"unit": "router.service"})",
                                        R"({"unit": "ci.service", "uids": "1000-1002"})",
                                        R"({"endpoint": "web-1"})",
                                        R"({"endpoint": "web-*", "group": "users"})",
                                        R"({"endpoint": "*"})"};
const std::vector<std::string> devices{R"({"address": "*"})",
                                       R"({"address": "0000:81:00.*"})",
                                       R"({"address": "0000:00:1f.2"})",
                                       R"({"vendor": "8086"})",
                                       R"({"class": "0108"})",
                                       R"({"iommu_group": 4})",
                                       R"({"vendor": "1b36", "device": "0010"})",
                                       R"({"address": "0000:81:00.0"})",
                                       R"({"address": "0000:00:1f.2", "class": "01"})"};
const std::vector<std::string> modes{"", R"(, "modes": ["managed"])", R"(, "modes": ["direct", "legacy"])",
                                     R"(, "modes": ["managed", "direct"])"};
const std::vector<std::string> grants{"", R"(, "memory": "12MiB")", R"(, "memory": "100MiB", "maps": 100)",
                                      R"(, "allow_no_reset": true)"};

std::string list_of_up_to_two(Dice& dice, const std::vector<std::string>& from) {
    return "[" + dice.pick(from) + (dice.one_in(2) ? "]" : ", " + dice.pick(from) + "]");
}

std::string random_rule(Dice& dice, const std::string& effect, std::size_t number) {
    std::string rule = R"({"id": "r)" + std::to_string(number) + R"(", "effect": ")" + effect + R"(", "devices": )" +
                       list_of_up_to_two(dice, devices) + dice.pick(modes);
    if (effect == "allow" || dice.one_in(2)) {
        rule += R"(, "subjects": )" + list_of_up_to_two(dice, subjects);
    }
    return rule + (effect == "allow" ? dice.pick(grants) : "") + "}";
}

std::vector<std::string> random_rules(Dice& dice) {
    std::vector<std::string> rules;
    const std::size_t count = 1 + dice.below(6);
    for (std::size_t i = 0; i < count; ++i) {
        rules.push_back(random_rule(dice, dice.one_in(4) ? "deny" : "allow", i));
    }
    return rules;
}

Policy with_all(const std::vector<std::string>& rules) {
    std::string text;
    for (const std::string& rule : rules) {
        text += (text.empty() ? "" : ", ") + rule;
    }
    return with_rules(text);
}

Subject random_subject(Dice& dice) {
    Subject subject = user(dice.pick<std::uint32_t>({0, alice, bob, carol, 100000, 165536, 200000, first_daemon_uid}));
    subject.groups = dice.pick<std::vector<std::uint32_t>>({{}, {users}, {users, vfio}, {kvm, vfio}});
    subject.unit = dice.pick<std::optional<std::string>>({std::nullopt, "", "router.service", "ci.service"});
    subject.has_pidfd = !dice.one_in(4);
    if (dice.one_in(2)) {
        subject.container = Container{
            dice.pick<std::string>({"web-1", "web-2", "db"}), dice.pick<std::uint32_t>({0, alice, 100000}), {}};
    }
    return subject;
}

Request random_request(Dice& dice) {
    DeviceFacts unknown;
    unknown.address = disk().address;
    const std::vector<DeviceFacts> known{nic(), disk(), nic("0000:82:00.0"), unknown};
    Request request = ask({dice.pick(known)}, static_cast<Mode>(dice.below(3)));
    if (dice.one_in(3)) {
        request.asked.push_back(dice.pick(known));
    }
    if (dice.one_in(3)) {
        request.group_members.push_back(dice.pick(known));
    }
    request.memory =
        dice.pick<std::optional<std::uint64_t>>({std::nullopt, 0, 12 * MiB, 12 * MiB + 1, 50 * MiB, 2 * GiB});
    return request;
}

constexpr unsigned rounds = 400;
constexpr unsigned questions = 20;

bool same(const Decision& left, const Decision& right) {
    return left.allowed == right.allowed && left.code == right.code &&
           (left.allowed || left.message == right.message) && left.rule == right.rule && left.memory == right.memory &&
           left.maps == right.maps && left.allow_no_reset == right.allow_no_reset && left.account == right.account;
}

TEST(ForEveryPolicy, TheOrderOfRulesChangesNothing) {
    for (unsigned seed = 0; seed < rounds; ++seed) {
        Dice dice(seed);
        std::vector<std::string> rules = random_rules(dice);
        const Policy policy = with_all(rules);
        dice.shuffle(rules);
        const Policy shuffled = with_all(rules);

        for (unsigned i = 0; i < questions; ++i) {
            const Subject subject = random_subject(dice);
            const Request request = random_request(dice);
            EXPECT_TRUE(same(evaluate(policy, subject, request), evaluate(shuffled, subject, request))) << seed;
        }
    }
}

TEST(ForEveryPolicy, TheOrderAndDivisionOfFilesChangesNothing) {
    for (unsigned seed = 0; seed < rounds; ++seed) {
        Dice dice(seed);
        std::vector<SourceFile> files{{"accounts.json", R"({"version": 1, "accounts": [
            {"match": {"uids": "0-2147483647"}, "memory": "1GiB"}]})"}};
        const std::vector<std::string> rules = random_rules(dice);
        for (const std::string& rule : rules) {
            files.push_back({std::to_string(files.size()) + ".json", R"({"version": 1, "rules": [)" + rule + "]}"});
        }
        dice.shuffle(files);
        const Policy one_file = with_all(rules);
        const auto many_files = load(files, machine(), host_total);
        ASSERT_TRUE(many_files);

        for (unsigned i = 0; i < questions; ++i) {
            const Subject subject = random_subject(dice);
            const Request request = random_request(dice);
            EXPECT_TRUE(same(evaluate(one_file, subject, request), evaluate(*many_files, subject, request))) << seed;
        }
    }
}

TEST(ForEveryPolicy, ADenyMoreNeverAllowsMore) {
    for (unsigned seed = 0; seed < rounds; ++seed) {
        Dice dice(seed);
        std::vector<std::string> rules = random_rules(dice);
        const Policy before = with_all(rules);
        rules.push_back(random_rule(dice, "deny", rules.size()));
        const Policy after = with_all(rules);

        for (unsigned i = 0; i < questions; ++i) {
            const Subject subject = random_subject(dice);
            const Request request = random_request(dice);
            EXPECT_LE(evaluate(after, subject, request).allowed, evaluate(before, subject, request).allowed) << seed;
        }
    }
}

TEST(ForEveryPolicy, AnAllowMoreNeverDeniesMore) {
    for (unsigned seed = 0; seed < rounds; ++seed) {
        Dice dice(seed);
        std::vector<std::string> rules = random_rules(dice);
        const Policy before = with_all(rules);
        rules.push_back(random_rule(dice, "allow", rules.size()));
        const Policy after = with_all(rules);

        for (unsigned i = 0; i < questions; ++i) {
            const Subject subject = random_subject(dice);
            const Request request = random_request(dice);
            EXPECT_GE(evaluate(after, subject, request).allowed, evaluate(before, subject, request).allowed) << seed;
        }
    }
}

TEST(ForEveryPolicy, ExplainSaysWhatEvaluateDecides) {
    for (unsigned seed = 0; seed < rounds; ++seed) {
        Dice dice(seed);
        const Policy policy = with_all(random_rules(dice));

        for (unsigned i = 0; i < questions; ++i) {
            const Subject subject = random_subject(dice);
            const Request request = random_request(dice);
            const Decision decision = evaluate(policy, subject, request);
            EXPECT_TRUE(same(decision, explain(policy, subject, request, TraceScope::all))) << seed;
            EXPECT_TRUE(same(decision, explain(policy, subject, request, TraceScope::own))) << seed;
        }
    }
}

TEST(ForEveryPolicy, AnAllowedRequestIsSoForEachOfItsDevicesAlone) {
    for (unsigned seed = 0; seed < rounds; ++seed) {
        Dice dice(seed);
        const Policy policy = with_all(random_rules(dice));

        for (unsigned i = 0; i < questions; ++i) {
            const Subject subject = random_subject(dice);
            const Request request = random_request(dice);
            Request first_only = request;
            first_only.asked.resize(1);
            EXPECT_LE(evaluate(policy, subject, request).allowed, evaluate(policy, subject, first_only).allowed)
                << seed;
        }
    }
}

TEST(ForEveryPolicy, NothingGrantedExceedsTheAccountOrTheRequest) {
    for (unsigned seed = 0; seed < rounds; ++seed) {
        Dice dice(seed);
        const Policy policy = with_all(random_rules(dice));

        for (unsigned i = 0; i < questions; ++i) {
            const Request request = random_request(dice);
            const Decision decision = evaluate(policy, random_subject(dice), request);
            EXPECT_LE(decision.memory, page_align_up(request.memory.value_or(default_lease_memory)));
            EXPECT_LE(decision.memory, decision.account.value_or(Account{}).memory);
        }
    }
}

}  // namespace
}  // namespace iommud::policy
