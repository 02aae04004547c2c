// A monitor of the test's own, with a real iommud-worker behind its channel.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "tests/integration/worker/client.hpp"

namespace iommud::worker::test {

inline const PciAddress first_device{.domain = 0, .bus = 0, .slot = 4, .function = 0};
inline const PciAddress second_device{.domain = 0, .bus = 0, .slot = 6, .function = 0};
inline constexpr const char* first_device_path = "/org/iommud1/device/_30000_3a00_3a04_2e0";

class WorkerTest : public testing::Test {
  protected:
    ~WorkerTest() override;

    // Starts the program; nothing has been sent to it yet. The client's end of its connection is `connection`.
    void spawn();
    // The same for the system bus, at `address`: there is no connection.
    void spawn_on_bus(const std::string& address);
    // spawn(), the frames a monitor begins with, and a D-Bus client on the connection.
    void begin(ConnectionKind kind = ConnectionKind::client);
    void introduce(ConnectionKind kind, const std::vector<std::string>& features = {"managed"});

    // Returns when the worker has taken the frame (or has gone): what the client asks afterwards is answered with it.
    template <class Message>
    void tell(const Message& message, std::vector<BorrowedFd> fds = {}) {
        ASSERT_EQ(monitor.send(message, fds), ipc::SendResult::sent);
        await_taken();
    }
    // The worker's next frame, which must be a `Message`.
    template <class Message>
    Message next() {
        const auto message = ipc::decode<Message>(next_frame());
        EXPECT_TRUE(message.has_value()) << "not the frame that was expected";
        return message.value_or(Message{});
    }
    ipc::Bytes next_frame();
    void await_taken();

    // A lease of the first device, as a LeaseView tells it.
    static ipc::LeaseView lease_view(LeaseId lease, LeaseState state);
    // Answers an Acquire as monitor and keeper do, with `names` on as many memfds.
    void deliver(std::uint64_t cookie, LeaseId lease, const std::vector<std::string>& names);

    // "exited 0", "killed by 31"; "runs" when it has not ended in time.
    std::string ending();
    [[nodiscard]] std::string worker_file(const char* name) const;  // a file of its /proc
    [[nodiscard]] std::vector<std::string> worker_fds() const;

    ipc::Channel monitor;
    UniqueFd connection;
    std::unique_ptr<Client> client;
    pid_t worker = -1;

  private:
    [[noreturn]] static void execute(BorrowedFd monitor_end, BorrowedFd served);

    std::optional<std::string> ended_;
};

}  // namespace iommud::worker::test
