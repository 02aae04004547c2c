// What administrators are shown of policy, by the real monitor: all of it, in as many frames as it takes, and no more
// than a worker can hold.
#include <gtest/gtest.h>

#include "daemon/base/bytes.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

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

    ipc::ExplainRequest request;
    request.devices = {*PciAddress::parse("0000:00:04.0")};
    request.memory = 4096;
    ASSERT_EQ(client.worker.send(request), ipc::SendResult::sent);
    const auto answer = next_answer<ipc::ExplainEntries>(client.worker);

    ASSERT_TRUE(answer);
    EXPECT_TRUE(answer->last);
    EXPECT_TRUE(answer->allowed);
    EXPECT_LT(answer->trace.size(), 50U);
}

}  // namespace
}  // namespace iommud::test
