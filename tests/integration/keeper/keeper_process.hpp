// A real iommud-keeper on the simulated kernel, with the test as its vault, monitor, worker and client.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "client/lib/include/iommud/lease_channel.h"
#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"

namespace iommud::test {

inline constexpr int patience_ms = 10000;  // how long a test waits for what must come

// One end of a lease channel, as a client has it.
class Client {
  public:
    explicit Client(UniqueFd socket) : socket_(std::move(socket)) {}

    [[nodiscard]] BorrowedFd fd() const { return socket_.borrow(); }
    void close() { socket_.reset(); }

    void send(const iommud_request& request, BorrowedFd memory = {}) const;
    void send_bytes(const void* bytes, std::size_t size, std::vector<BorrowedFd> fds = {}) const;
    // The next packet; nothing when the keeper hung up.
    [[nodiscard]] std::optional<iommud_reply> receive(UniqueFd* descriptor = nullptr) const;
    [[nodiscard]] bool hangs_up() const;  // reads on until the end

    [[nodiscard]] iommud_reply call(const iommud_request& request, BorrowedFd memory = {}) const;
    [[nodiscard]] iommud_reply map(BorrowedFd memory, std::uint64_t length, std::uint64_t offset = 0) const;
    [[nodiscard]] iommud_reply unmap(std::uint64_t iova) const;
    [[nodiscard]] iommud_query_reply query() const;
    [[nodiscard]] Client dup() const;

  private:
    UniqueFd socket_;
};

struct KeeperOptions {
    std::uint64_t reserve = 12 << 20;
    std::uint32_t maps = 4096;
    Mode mode = Mode::managed;
    std::string failpoint = "";  // for the keeper with failpoints: "bind:sleep=60"
};

class KeeperProcess {
  public:
    explicit KeeperProcess(const KeeperOptions& options = {});
    ~KeeperProcess();
    KeeperProcess(const KeeperProcess&) = delete;
    KeeperProcess& operator=(const KeeperProcess&) = delete;

    [[nodiscard]] static ipc::KeeperStart start_message(const KeeperOptions& options);

    // What the worker reads; its descriptors are "lease" and the devices.
    struct Delivered {
        ipc::Delivery message;
        std::vector<UniqueFd> fds;
    };
    [[nodiscard]] std::optional<Delivered> delivered();
    [[nodiscard]] Client client();  // from the delivery

    [[nodiscard]] const ipc::Channel& monitor() const { return monitor_; }
    // The next frame of that type, passing over others; nothing at hang-up or after patience_ms.
    template <class Message>
    [[nodiscard]] std::optional<Message> next() {
        while (auto packet = next_packet()) {
            if (auto message = ipc::decode<Message>(packet->bytes)) {
                return message;
            }
        }
        return std::nullopt;
    }
    // The first report of that state.
    [[nodiscard]] std::optional<ipc::KeeperReport> report_of(LeaseState state);

    void cut_lifeline() { lifeline_.reset(); }
    void lose_worker() { worker_.close(); }
    void lose_vault() { monitor_.close(); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    // Exit code, or the negative signal; nothing when it is still there after patience_ms.
    [[nodiscard]] std::optional<int> exit_code();
    // What it has told the vault so far (ipc::KeeperWord).
    [[nodiscard]] std::string words();

  private:
    [[nodiscard]] std::optional<ipc::Packet> next_packet();

    ipc::Channel monitor_;
    ipc::Channel worker_;
    UniqueFd lifeline_;
    UniqueFd word_;
    UniqueFd pidfd_;
    pid_t pid_ = -1;
};

// A keeper with any first frame and descriptors, or none at all.
[[nodiscard]] int exit_code_of_keeper_started_with(const ipc::Bytes& frame, std::size_t descriptors);

// A memfd of `length` bytes, touched and sealed against shrinking.
[[nodiscard]] UniqueFd dma_memory(std::uint64_t length);

}  // namespace iommud::test
