// The real monitor and policy: what administrators are shown of it; that a bad one is named and the old one stays; that
// Explain says what Acquire does.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "daemon/base/bytes.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

namespace fs = std::filesystem;
using Entries = std::vector<std::map<std::string, std::string>>;

// A policy of `count` allows whose ids begin with `id`; each has `devices` devices.
std::string many_rules(const std::string& id, std::size_t count, std::size_t devices = 1) {
    std::string text = R"({"version": 1, "rules": [)";
    for (std::size_t i = 0; i < count; ++i) {
        text += i == 0 ? "" : ",\n";
        text += R"({"id": ")" + id + std::to_string(i) +
                R"(", "effect": "allow", "subjects": [{"uids": "0-2147483647"}], )" +
                R"("devices": [{"address": "0000:00:04.0"})";
        for (std::size_t device = 1; device < devices; ++device) {
            text += R"(, {"vendor": "8086"})";
        }
        text += "]}";
    }
    return text + "]}";
}

Entries policy_of(const Served& admin) {
    EXPECT_EQ(admin.worker.send(ipc::PolicyRequest{.cookie = 3}), ipc::SendResult::sent);
    Entries all;
    for (;;) {
        const auto page = next_answer<ipc::PolicyEntries>(admin.worker);
        if (!page) {
            ADD_FAILURE() << "no page of policy";
            return all;
        }
        for (const ipc::Texts& entry : page->entries) {
            all.emplace_back(entry.begin(), entry.end());
        }
        if (page->last) {
            return all;
        }
    }
}

const PciAddress edu = *PciAddress::parse("0000:00:04.0");
const PciAddress other = *PciAddress::parse("0000:00:06.0");

struct Question {
    std::vector<PciAddress> devices;
    std::optional<std::uint64_t> memory{};
    Mode mode = Mode::managed;
    std::optional<std::string> user{};
};

ipc::ExplainEntries explain(const Served& client, const Question& question) {
    ipc::ExplainRequest request;
    request.cookie = 4;
    request.devices = question.devices;
    request.memory = question.memory;
    request.mode = question.mode;
    request.user = question.user;
    EXPECT_EQ(client.worker.send(request), ipc::SendResult::sent);
    const auto answer = next_answer<ipc::ExplainEntries>(client.worker);
    EXPECT_TRUE(answer && answer->last) << "no explanation";
    return answer.value_or(ipc::ExplainEntries{});
}

std::string deny_of(const std::string& uids) {
    return R"({"version": 1, "rules": [{"id": "d", "effect": "deny", "subjects": [{"uids": )" + uids + "}]}]}";
}

TEST(Policy, IsShownToAnAdministratorWithPlaces) {
    const MonitorProcess monitor;

    const Entries entries = policy_of(monitor.connect(true));

    ASSERT_EQ(entries.size(), 3U);
    EXPECT_EQ(entries[0].at("kind"), "host");
    EXPECT_EQ(entries[1].at("says"), "12 MiB, 64 leases, 64 devices");
    EXPECT_EQ(entries[2].at("name"), "edu");
    EXPECT_TRUE(entries[2].at("where").ends_with("/policy.d/10.json:1"));
}

TEST(Policy, OfThousandsOfRulesIsShownWhole) {
    const MonitorProcess monitor;
    monitor.write_policy("20.json", many_rules("r", 5000));
    const Served admin = monitor.connect(true);
    ASSERT_EQ(monitor.reload(admin), "");

    const Entries entries = policy_of(admin);

    EXPECT_EQ(entries.size(), 5003U);
    EXPECT_EQ(entries.back().at("name"), "r999");  // by name
    EXPECT_TRUE(monitor.alive());
}

TEST(Policy, LargerThanAnAnswerMayBeEndsWithACountOfTheRest) {
    const MonitorProcess monitor;
    for (const char* file : {"a", "b", "c", "d", "e", "f", "g"}) {
        monitor.write_policy(std::string(file) + ".json", many_rules(file, 450, 100));
    }
    const Served admin = monitor.connect(true);
    ASSERT_EQ(monitor.reload(admin), "");

    const Entries entries = policy_of(admin);

    ASSERT_FALSE(entries.empty());
    EXPECT_EQ(entries.back().at("kind"), "more");
    EXPECT_TRUE(entries.back().at("says").starts_with("and ")) << entries.back().at("says");
}

TEST(Explanation, ToAClientWithThousandsOfRulesIsShortAndSaysSo) {
    const MonitorProcess monitor;
    monitor.write_policy("20.json", many_rules("r", 5000));
    ASSERT_EQ(monitor.reload(monitor.connect(true)), "");
    const Served client = monitor.connect();

    const ipc::ExplainEntries answer = explain(client, {.devices = {edu}, .memory = 4096});

    EXPECT_TRUE(answer.allowed);
    EXPECT_LT(answer.trace.size(), 50U);
}

TEST(Explanation, HoldsUntilPolicyIsAnother) {
    const MonitorProcess monitor;
    const Served admin = monitor.connect(true);
    const Served client = monitor.connect();
    const auto told_to_forget = [&client] {
        ipc::Packet packet;
        while (client.worker.receive(packet) == ipc::ReceiveResult::packet) {
            if (ipc::decode<ipc::ForgetAnswers>(packet.bytes)) {
                return true;
            }
        }
        return false;
    };
    EXPECT_TRUE(explain(client, {.devices = {edu}, .memory = 4096}).lasting);

    monitor.write_policy("20.json", "{");
    ASSERT_NE(monitor.reload(admin), "");
    EXPECT_FALSE(told_to_forget());

    monitor.write_policy("20.json", deny_of(R"("0-2147483647")"));
    ASSERT_EQ(monitor.reload(admin), "");
    // By now, and not soon: whoever hears of the reload from the administrator asks after it.
    EXPECT_TRUE(told_to_forget());
    EXPECT_FALSE(explain(client, {.devices = {edu}, .memory = 4096}).allowed);
}

TEST(Explanation, OfWhatMayChangeByItselfDoesNotHold) {
    const MonitorProcess monitor;

    // The caller's own credentials count, and those may change.
    EXPECT_FALSE(explain(monitor.connect(), {.devices = {edu}, .memory = 4096, .mode = Mode::direct}).lasting);
    EXPECT_FALSE(explain(monitor.connect(true), {.devices = {edu}, .user = "0"}).lasting);
}

// ---- a bad policy

struct BadFile {
    const char* name;
    void (*write)(const MonitorProcess& monitor);
    const char* fault;  // what Reload and Degraded say of it, after the folder's name
    friend void PrintTo(const BadFile& bad, std::ostream* out) { *out << bad.name; }
};

void write_mode(const MonitorProcess& monitor, fs::perms mode) {
    monitor.write_policy("20.json", R"({"version": 1})");
    fs::permissions(monitor.policy_folder() / "20.json", mode);
}

class BadPolicy : public testing::TestWithParam<BadFile> {};

TEST_P(BadPolicy, IsNamedAndTheOldOneStays) {
    const MonitorProcess monitor;
    const Served admin = monitor.connect(true);
    const Served client = monitor.connect();
    ipc::ManagerView view;

    GetParam().write(monitor);
    const std::string refused = monitor.reload(admin, &view);
    const auto answer = explain(client, {.devices = {edu}, .memory = 4096});

    const std::string fault = "/policy.d/" + std::string(GetParam().fault);
    EXPECT_NE(refused.find(fault), std::string::npos) << refused;
    ASSERT_EQ(view.degraded.size(), 1U);
    EXPECT_NE(view.degraded[0].find(fault), std::string::npos) << view.degraded[0];
    EXPECT_EQ(view.policy_generation, 1U);
    EXPECT_TRUE(answer.allowed) << answer.decision;

    fs::remove(monitor.policy_folder() / "20.json");
    EXPECT_EQ(monitor.reload(admin, &view), "");
    EXPECT_TRUE(view.degraded.empty());
    EXPECT_EQ(view.policy_generation, 2U);
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadPolicy,
    testing::Values(
        BadFile{"of 10 MB", [](const MonitorProcess& m) { m.write_policy("20.json", std::string(10 << 20, ' ')); },
                "20.json: bigger than 1 MiB"},
        BadFile{"10,000 deep", [](const MonitorProcess& m) { m.write_policy("20.json", std::string(10000, '[')); },
                "20.json:1:17: nested more than 16 deep"},
        BadFile{"with a key twice",
                [](const MonitorProcess& m) { m.write_policy("20.json", R"({"version": 1, "version": 1})"); },
                R"(20.json:1:16: /version: "version" is given twice)"},
        BadFile{"with a NUL", [](const MonitorProcess& m) { m.write_policy("20.json", std::string(1, '\0')); },
                "20.json:1:1: a NUL byte: JSON is text"},
        BadFile{"that is not UTF-8", [](const MonitorProcess& m) { m.write_policy("20.json", "\xff"); },
                "20.json:1:1: a byte that is not UTF-8"},
        BadFile{"about uid -1", [](const MonitorProcess& m) { m.write_policy("20.json", deny_of(R"("-1")")); },
                R"(20.json:1:78: /rules/0/subjects/0/uids: "-1": a uid)"},
        BadFile{"about uid 2^31",
                [](const MonitorProcess& m) { m.write_policy("20.json", deny_of(R"("2147483648")")); },
                R"(20.json:1:78: /rules/0/subjects/0/uids: "2147483648": uids go up to 2147483647)"},
        BadFile{"about uid 2^32-1",
                [](const MonitorProcess& m) { m.write_policy("20.json", deny_of(R"("4294967295")")); },
                R"(20.json:1:78: /rules/0/subjects/0/uids: "4294967295": uids go up to 2147483647)"},
        BadFile{"that is a FIFO",
                [](const MonitorProcess& m) { ::mkfifo((m.policy_folder() / "20.json").c_str(), 0600); },
                "20.json: not a regular file"},
        BadFile{"that is a link",
                [](const MonitorProcess& m) {
                    fs::create_symlink(m.policy_folder() / "10.json", m.policy_folder() / "20.json");
                },
                "20.json: a symbolic link"},
        BadFile{"of its group", [](const MonitorProcess& m) { write_mode(m, fs::perms(0664)); },
                "20.json: writable by its group"},
        BadFile{"of everybody", [](const MonitorProcess& m) { write_mode(m, fs::perms(0646)); },
                "20.json: writable by others"}));

// ---- what Explain says is what Acquire does

struct Outcome {
    bool allowed = false;
    std::string message;  // of a refusal
};

// Asks for a lease; when it is granted, the vault says that it cannot, so that the devices are free again.
Outcome acquire(const MonitorProcess& monitor, const Served& client, const ipc::AcquireRequest& request) {
    EXPECT_EQ(client.worker.send(request), ipc::SendResult::sent);
    ipc::Packet packet = next_reply(client);
    if (!ipc::decode<ipc::DeliveryComing>(packet.bytes)) {
        const auto failed = ipc::decode<ipc::RequestFailed>(packet.bytes);
        EXPECT_TRUE(failed) << "neither granted nor refused";
        return {false, failed.value_or(ipc::RequestFailed{}).message};
    }
    const auto grant = next_answer<ipc::GrantLease>(monitor.vault());  // mode direct has other verbs before it
    EXPECT_TRUE(grant) << "granted without a verb to the vault";
    EXPECT_EQ(monitor.vault().send(ipc::GrantResult{.lease = grant.value_or(ipc::GrantLease{}).lease,
                                                    .granted = false,
                                                    .code = ErrorCode::internal,
                                                    .message = "not in this test"}),
              ipc::SendResult::sent);
    EXPECT_TRUE(ipc::decode<ipc::RequestFailed>(next_reply(client).bytes));
    return {true, ""};
}

std::string random_policy(std::mt19937& dice) {
    const std::string me = R"({"uids": ")" + std::to_string(::getuid()) + R"("})";
    const std::string subjects[] = {me, me, R"({"uids": "0-2147483647"})", R"({"uids": "4000-5000"})",
                                    R"({"unit": "ci.service"})"};
    const std::string devices[] = {R"({"address": "0000:00:04.0"})", R"({"address": "0000:00:0?.0"})",
                                   R"({"vendor": "1234", "device": "11e8"})", R"({"class": "02"})",
                                   R"({"iommu_group": 4})"};
    const std::string grants[] = {"", R"(, "memory": "1MiB")", R"(, "memory": "100MiB")", R"(, "modes": ["direct"])"};
    std::string text = R"({"version": 1, "rules": [)";
    const std::size_t count = 1 + dice() % 4;
    for (std::size_t i = 0; i < count; ++i) {
        const bool deny = dice() % 4 == 0;
        text += (i == 0 ? R"({"id": "r)" : R"(, {"id": "r)") + std::to_string(i) + R"(", "effect": ")" +
                (deny ? "deny" : "allow") + R"(", "subjects": [)" + subjects[dice() % 5] + R"(], "devices": [)" +
                devices[dice() % 5] + "]" + (deny ? "" : grants[dice() % 4]) + "}";
    }
    return text + "]}";
}

TEST(Explanation, IsWhatAcquireDoes) {
    const MonitorProcess monitor;
    const Served admin = monitor.connect(true);
    const Served client = monitor.connect();
    const std::vector<PciAddress> asked[] = {{edu}, {other}, {edu, other}};
    const std::optional<std::uint64_t> memory[] = {std::nullopt, 4096, std::uint64_t{2} << 20, std::uint64_t{13} << 20};
    std::mt19937 dice(1);
    std::size_t allowed = 0;
    std::size_t denied = 0;

    for (int round = 0; round < 40; ++round) {
        const std::string policy = random_policy(dice);
        monitor.write_policy("10.json",
                             R"({"version": 1, "accounts": [{"match": {"uids": "0-70000"}, "memory": "12MiB"}]})");
        monitor.write_policy("20.json", policy);
        ASSERT_EQ(monitor.reload(admin), "") << policy;
        for (int question = 0; question < 8; ++question) {
            const auto& devices = asked[dice() % 3];
            const auto& bytes = memory[dice() % 4];
            const Mode mode = dice() % 4 == 0 ? Mode::direct : Mode::managed;
            const auto said = explain(client, {.devices = devices, .memory = bytes, .mode = mode});
            const Outcome done =
                acquire(monitor, client,
                        {.cookie = 5, .devices = devices, .mode = mode, .memory = bytes, .label = "explained"});

            EXPECT_EQ(said.allowed, done.allowed) << policy << said.decision << done.message;
            // A mode that is not given to anybody is refused before policy is asked.
            EXPECT_TRUE(done.allowed || mode != Mode::managed || said.decision == done.message)
                << said.decision << "; " << done.message;
            (done.allowed ? allowed : denied) += 1;
        }
    }

    EXPECT_GT(allowed, 30U);
    EXPECT_GT(denied, 30U);
}

}  // namespace
}  // namespace iommud::test
