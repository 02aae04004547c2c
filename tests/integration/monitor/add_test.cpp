// An addition is what the keeper says it is, whatever became of the vault's child that opened the nodes.
#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon/ipc/keeper_messages.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

using ipc::SendResult;

// Lease 5 of this test's, to which a second device is being added; its keeper has been asked once, at the beginning.
class Addition : public testing::Test {
  protected:
    void SetUp() override {
        monitor_.write_policy(
            "20.json",
            R"({"version": 1, "rules": [{"id": "more", "effect": "allow", "modes": ["managed"],)"
            R"("devices": [{"address": "0000:00:04.0"}, {"address": "0000:00:06.0"}], "subjects": [{"uids": ")" +
                std::to_string(::getuid()) + R"("}]}]})");
        ASSERT_EQ(monitor_.reload(monitor_.connect(true)), "");
        client_ = monitor_.connect();
        answer_the_question(1);
        // The monitor hears the answer before what is asked after this.
        ASSERT_EQ(monitor_.reload(monitor_.connect(true)), "");
        ASSERT_EQ(client_.worker.send(ipc::AddRequest{.cookie = 9, .lease = 5, .devices = {second_}}),
                  SendResult::sent);
        while (true) {  // past what reloading and connecting told the vault
            const ipc::Packet packet = next_packet(monitor_.vault());
            ASSERT_FALSE(packet.bytes.empty());
            if (ipc::decode<ipc::ExtendLease>(packet.bytes)) {
                break;
            }
        }
    }

    void answer_the_question(std::uint32_t count) {
        const auto question = monitor_.keeper_hears<ipc::DevicesRequest>(0);
        ASSERT_TRUE(question);
        ASSERT_EQ(monitor_.keeper_says(0, ipc::KeeperDevices{count, question->number}), SendResult::sent);
    }

    // Whether the monitor takes the second device for the lease's: it is asked for again.
    [[nodiscard]] bool is_taken() {
        const ipc::AcquireRequest again{
            .cookie = 11, .devices = {second_}, .mode = Mode::managed, .memory = 4096, .label = {}};
        EXPECT_EQ(client_.worker.send(again), SendResult::sent);
        const auto refusal = next_answer<ipc::RequestFailed>(client_.worker);
        return refusal && refusal->cookie == 11 && refusal->message.find("held by lease") != std::string::npos;
    }

    const PciAddress second_ = *PciAddress::parse("0000:00:06.0");
    MonitorProcess monitor_{{held_lease(Mode::managed)}};
    Served client_;
};

TEST_F(Addition, WhoseChildDiedUnheardIsThereWhenTheKeeperHasIt) {
    ASSERT_EQ(monitor_.vault().send(ipc::ExtendResult{
                  .lease = 5, .granted = false, .code = ErrorCode::device_busy, .message = "its child was killed"}),
              SendResult::sent);

    answer_the_question(2);

    EXPECT_TRUE(is_taken());
}

TEST_F(Addition, WhoseChildDiedUnheardFailsWhenTheKeeperHasItNot) {
    ASSERT_EQ(monitor_.vault().send(ipc::ExtendResult{
                  .lease = 5, .granted = false, .code = ErrorCode::device_busy, .message = "its child was killed"}),
              SendResult::sent);

    answer_the_question(1);

    const auto failed = next_answer<ipc::RequestFailed>(client_.worker);
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->cookie, 9U);
    EXPECT_EQ(failed->message, "its child was killed");
}

TEST_F(Addition, IsNotOverWhenItsKeeperReportsAMap) {
    const ipc::KeeperReport mapped{.state = LeaseState::active, .mapped = 4096, .maps = 1};
    ASSERT_EQ(monitor_.keeper_says(0, mapped), SendResult::sent);

    ASSERT_EQ(monitor_.keeper_says(0, ipc::KeeperFailed{.code = ErrorCode::device_busy, .message = "busy"}),
              SendResult::sent);
    ASSERT_EQ(monitor_.vault().send(ipc::ExtendResult{.lease = 5, .granted = true, .code = {}, .message = {}}),
              SendResult::sent);

    answer_the_question(1);

    const auto failed = next_answer<ipc::RequestFailed>(client_.worker);
    ASSERT_TRUE(failed) << "nobody told the client, whose descriptors never come";
    EXPECT_EQ(failed->cookie, 9U);
    EXPECT_EQ(failed->message, "busy");
}

// A keeper that is slow to answer, after a restart of the monitor: its answer is not about what was asked for since.
TEST_F(Addition, IsNotJudgedByAnAnswerToAnEarlierQuestion) {
    ASSERT_EQ(monitor_.keeper_says(0, ipc::KeeperDevices{1, 77}), SendResult::sent);
    ASSERT_EQ(monitor_.vault().send(ipc::ExtendResult{.lease = 5, .granted = true, .code = {}, .message = {}}),
              SendResult::sent);

    answer_the_question(2);

    EXPECT_TRUE(is_taken());
}

TEST_F(Addition, IsRefusedUntilTheKeeperHasSaidWhatItHas) {
    ASSERT_EQ(monitor_.vault().send(ipc::ExtendResult{.lease = 5, .granted = true, .code = {}, .message = {}}),
              SendResult::sent);
    const auto first = monitor_.keeper_hears<ipc::DevicesRequest>(0);
    ASSERT_TRUE(first);
    ASSERT_EQ(monitor_.keeper_says(0, ipc::KeeperFailed{.code = ErrorCode::device_busy, .message = "busy"}),
              SendResult::sent);

    ASSERT_EQ(client_.worker.send(ipc::AddRequest{.cookie = 10, .lease = 5, .devices = {second_}}), SendResult::sent);

    const auto refused = next_answer<ipc::RequestFailed>(client_.worker);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->cookie, 10U);
    EXPECT_EQ(refused->code, ErrorCode::invalid_argument);
}

TEST_F(Addition, OfMoreThanTheLeaseWasGivenEndsTheKeeper) {
    ASSERT_EQ(monitor_.vault().send(ipc::ExtendResult{.lease = 5, .granted = true, .code = {}, .message = {}}),
              SendResult::sent);

    answer_the_question(3);

    EXPECT_TRUE(monitor_.verb<ipc::KillChild>());
}

}  // namespace
}  // namespace iommud::test
