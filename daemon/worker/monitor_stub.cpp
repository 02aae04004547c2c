#include "daemon/worker/monitor_stub.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <cerrno>

#include "daemon/base/result.hpp"

namespace iommud::worker {
namespace {

constexpr int start_limit_ms = 10'000;
// Many views at once give the client its turn in between.
constexpr int most_frames_per_turn = 64;

// Views come in crowds; after an answer there is mostly nothing to read, and arm() tells when there is.
bool alone(const Frame& frame) {
    return std::holds_alternative<ipc::RequestFailed>(frame) || std::holds_alternative<ipc::RequestDone>(frame) ||
           std::holds_alternative<ipc::DeliveryComing>(frame) || std::holds_alternative<ipc::ExplainEntries>(frame) ||
           std::holds_alternative<ipc::AccountsEntries>(frame);
}

}  // namespace

MonitorStub::MonitorStub(boost::asio::io_context& io, UniqueFd socket)
    : io_(io), channel_(std::move(socket)), watch_(io, channel_.fd()) {}

std::optional<ipc::WorkerStart> MonitorStub::wait_for_start() {
    pollfd waiting{channel_.fd().get(), POLLIN, 0};
    int ready = 0;
    do {
        ready = ::poll(&waiting, 1, start_limit_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) {
        throw Fatal("the monitor does not say what this worker is for");
    }
    switch (channel_.receive(packet_)) {
        case ipc::ReceiveResult::packet:
            break;
        case ipc::ReceiveResult::closed:
            return std::nullopt;
        case ipc::ReceiveResult::empty:
        case ipc::ReceiveResult::malformed:
            throw Fatal("the monitor's first frame cannot be received");
    }
    const Frame frame = accept();
    return std::get<ipc::WorkerStart>(frame);  // nothing else is accepted in this phase
}

void MonitorStub::start(FrameSink& sink) {
    sink_ = &sink;
    arm();
}

void MonitorStub::arm() {
    watch_.when_readable([this](const boost::system::error_code& error) {
        if (!error) {
            turn();
        }
    });
}

void MonitorStub::turn() {
    bool more = true;
    for (int frames = 0; more && frames < most_frames_per_turn; ++frames) {
        const ipc::ReceiveResult result = channel_.receive(packet_);
        if (result == ipc::ReceiveResult::closed) {
            return io_.stop();
        }
        if (result == ipc::ReceiveResult::malformed) {
            throw Fatal("a frame from the monitor is too long or has too many descriptors");
        }
        if (result == ipc::ReceiveResult::empty) {
            break;
        }
        Frame frame = accept();
        more = !alone(frame);
        UniqueFd fd = packet_.fds.empty() ? UniqueFd() : std::move(packet_.fds.front());
        sink_->on_frame(std::move(frame), std::move(fd));
    }
    sink_->on_frames_done();
    arm();
}

Frame MonitorStub::accept() {
    Frame frame = decode_frame(packet_.bytes, packet_.fds.size(), phase_);
    manager_seen_ = manager_seen_ || std::holds_alternative<ipc::ManagerView>(frame);
    if (phase_ == Phase::starting) {
        phase_ = Phase::filling;
    } else if (!manager_seen_) {
        throw Fatal("the monitor's views do not begin with the manager's");
    } else if (std::holds_alternative<ipc::ViewComplete>(frame)) {
        phase_ = Phase::serving;
    }
    return frame;
}

}  // namespace iommud::worker
