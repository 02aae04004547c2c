// A daemon for the client's tests: it answers on a socket of its own, from values that the test sets.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/unique_fd.hpp"

namespace iommud {

struct FakeAnswers {
    std::string error_name = {};  // not empty: every method fails with it
    std::string error_message = {};
    bool hang_up = false;                                               // instead of answering
    bool simulated = false;                                             // in Acquire's info, and the manager's property
    bool admin = false;                                                 // has the administrators' methods
    bool allowed = true;                                                // what Explain says
    std::string label = "label";                                        // of the one lease
    std::vector<std::string> fd_names{"lease", "device:0000:00:04.0"};  // what Acquire gives
};

struct FakeRequest {
    std::string member = {};
    std::vector<std::string> devices = {};
    std::string mode = {};
    std::string label = {};
    std::string user = {};
    std::uint64_t memory = 0;
};

class FakeDaemon {
  public:
    explicit FakeDaemon(FakeAnswers answers = {});
    ~FakeDaemon();
    FakeDaemon(const FakeDaemon&) = delete;
    FakeDaemon& operator=(const FakeDaemon&) = delete;

    [[nodiscard]] std::string address() const { return "unix:path=" + folder_ + "/bus"; }
    // The last method that was called, other than for properties and objects.
    [[nodiscard]] FakeRequest last_request() const;

  private:
    void serve();
    void serve_one(UniqueFd connection);
    static int on_message(sd_bus_message* message, void* daemon, sd_bus_error* error);
    int answer(sd_bus_message* message);
    int answer_acquire(sd_bus_message* message);
    int answer_explain(sd_bus_message* message);
    int answer_objects(sd_bus_message* message);
    int answer_accounts(sd_bus_message* message);
    static int answer_policy(sd_bus_message* message);
    int answer_manager(sd_bus_message* message);
    int answer_device(sd_bus_message* message);

    FakeAnswers answers_;
    std::string folder_;
    UniqueFd listening_;
    UniqueFd stop_;
    UniqueFd stopped_;               // readable (closed at the other end) once the daemon is to stop
    std::vector<UniqueFd> keepers_;  // the other ends of the lease descriptors given
    mutable std::mutex mutex_;
    FakeRequest last_;
    std::thread thread_;
};

}  // namespace iommud
