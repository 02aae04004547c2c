// Explain: an answer in several frames, and what a worker answers by itself because the monitor said that it holds.
#include <gtest/gtest.h>

#include <csignal>

#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"

namespace iommud::worker::test {
namespace {

class ExplainTest : public WorkerTest {
  protected:
    std::size_t ask(std::uint64_t memory = 4096) {
        return client->start(manager_path, manager_interface, "Explain", [memory](sd_bus_message* message) {
            write_no_options(message);
            write_strings(message, {"0000:00:04.0"});
            must(sd_bus_message_append(message, "a{sv}", 1, "memory", "t", memory), "append");
        });
    }
    // Asks, and the monitor answers `says`.
    void ask_monitor(const char* says, bool lasting, std::uint64_t memory = 4096) {
        const auto call = ask(memory);
        const auto request = next<ipc::ExplainRequest>();
        ASSERT_EQ(request.memory, memory);
        tell(ipc::ExplainEntries{
            .cookie = request.cookie, .lasting = lasting, .allowed = true, .decision = says, .trace = {}});
        ASSERT_EQ(decision(call), says);
    }
    std::string decision(std::size_t call) {
        const Reply reply = client->reply(call);
        int allowed = 0;
        const char* text = "";
        return reply.error().empty() && sd_bus_message_read(reply.message.get(), "bs", &allowed, &text) > 0
                   ? text
                   : "no answer";
    }
};

TEST_F(ExplainTest, GathersAnAnswerInSeveralFrames) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Explain", [](sd_bus_message* message) {
        must(sd_bus_message_append(message, "a{sv}", 1, "user", "s", "bob"), "append");
        write_strings(message, {"0000:00:04.0"});
        must(sd_bus_message_append(message, "a{sv}", 1, "mode", "s", "direct"), "append");
    });
    const auto request = next<ipc::ExplainRequest>();
    tell(ipc::ExplainEntries{
        .cookie = request.cookie, .last = false, .allowed = false, .decision = "", .trace = {{{"rule", "one"}}}});
    tell(ipc::ExplainEntries{
        .cookie = request.cookie, .last = true, .allowed = true, .decision = "by two", .trace = {{{"rule", "two"}}}});
    const Reply reply = client->reply(call);

    EXPECT_EQ(request.user, "bob");
    EXPECT_EQ(request.mode, Mode::direct);
    ASSERT_EQ(reply.error(), "");
    int allowed = 0;
    const char* texts[5] = {};
    ASSERT_GT(sd_bus_message_read(reply.message.get(), "bsaa{sv}", &allowed, &texts[0], 2, 1, &texts[1], "s", &texts[2],
                                  1, &texts[3], "s", &texts[4]),
              0);
    EXPECT_EQ(allowed, 1);
    EXPECT_STREQ(texts[0], "by two");
    EXPECT_STREQ(texts[2], "one");
    EXPECT_STREQ(texts[4], "two");
}

TEST_F(ExplainTest, WhatHoldsIsAnsweredWithoutTheMonitor) {
    begin();
    ask_monitor("yes", true);

    EXPECT_EQ(decision(ask()), "yes");
    ask_monitor("another question", true, 8192);  // and no frame of the one before it
}

TEST_F(ExplainTest, WhatDoesNotHoldIsAskedAnew) {
    begin();
    ask_monitor("yes, now", false);

    ask_monitor("no", false);
}

TEST_F(ExplainTest, WhatTheMonitorTakesBackIsAskedAnew) {
    begin();
    ask_monitor("yes", true);

    tell(ipc::ForgetAnswers{});

    ask_monitor("no", true);
    EXPECT_EQ(decision(ask()), "no");
}

TEST_F(ExplainTest, WhatTheMonitorHasTakenBackUnreadIsAskedAnew) {
    begin();
    ask_monitor("yes", true);

    ::kill(worker, SIGSTOP);
    const auto call = ask();
    ASSERT_TRUE(client->pump(std::chrono::milliseconds(10)));
    ASSERT_EQ(monitor.send(ipc::ForgetAnswers{}), ipc::SendResult::sent);
    ::kill(worker, SIGCONT);

    const auto request = next<ipc::ExplainRequest>();
    tell(ipc::ExplainEntries{.cookie = request.cookie, .allowed = false, .decision = "no", .trace = {}});
    EXPECT_EQ(decision(call), "no");
}

TEST_F(ExplainTest, AfterAReloadThatIsUnderWayTheMonitorAnswers) {
    begin(ConnectionKind::admin);
    ask_monitor("yes", true);

    const auto reload = client->start(manager_path, manager_interface, "Reload", write_no_options);
    const auto call = ask();
    const auto reloading = next<ipc::ReloadRequest>();
    const auto request = next<ipc::ExplainRequest>();
    tell(ipc::ForgetAnswers{});
    tell(ipc::RequestDone{.cookie = reloading.cookie});
    tell(ipc::ExplainEntries{.cookie = request.cookie, .allowed = false, .decision = "no", .trace = {}});

    EXPECT_EQ(client->reply(reload).error(), "");
    EXPECT_EQ(decision(call), "no");
}

}  // namespace
}  // namespace iommud::worker::test
