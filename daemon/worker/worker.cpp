#include "daemon/worker/worker.hpp"

#include <fmt/format.h>

#include "daemon/base/log.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/worker/confine.hpp"

namespace iommud::worker {

Worker::Worker(boost::asio::io_context& io, MonitorStub& monitor, ConnectionKind kind, BusPtr bus)
    : io_(io),
      monitor_(monitor),
      kind_(kind),
      bus_(std::move(bus)),
      replica_(kind != ConnectionKind::system_bus),
      reactor_(io, bus_.get(), failure_),
      signals_(bus_.get(), kind != ConnectionKind::system_bus),
      requests_(io, bus_.get(), reactor_, monitor, replica_, signals_),
      session_{kind, replica_, requests_, failure_} {
    add_manager(bus_.get(), session_);
    add_devices(bus_.get(), session_);
    if (kind_ == ConnectionKind::system_bus) {
        requests_.ask_who_sends(failure_);
        add_bus_leases(bus_.get(), session_);
    } else {
        add_leases(bus_.get(), session_);
    }
}

void Worker::run() {
    monitor_.start(*this);
    io_.run();
}

void Worker::on_frame(Frame frame, UniqueFd fd) {
    if (auto* const delivery = std::get_if<ipc::DeliveryComing>(&frame)) {
        return requests_.on(std::move(*delivery), std::move(fd));
    }
    std::visit(
        [this](auto& message) {
            if constexpr (requires { on(std::move(message)); }) {
                on(std::move(message));
            } else if constexpr (requires { requests_.on(std::move(message)); }) {
                requests_.on(std::move(message));
            }
        },
        frame);
}

void Worker::on_frames_done() {
    requests_.emit_signals();
    if (serving_) {
        reactor_.flush();
    }
}

void Worker::on(const ipc::WorkerStart&) {
    throw Fatal("the monitor starts this worker twice");
}

void Worker::on(ipc::ManagerView frame) {
    signals_.manager(replica_.apply(std::move(frame)));
}

void Worker::on(ipc::DeviceView frame) {
    const PciAddress address = frame.address;
    signals_.device(address, replica_.apply(std::move(frame)));
}

void Worker::on(const ipc::DeviceGone& frame) {
    if (replica_.device(frame.address) != nullptr) {
        signals_.device_goes(frame.address);
        replica_.forget(frame.address);
    }
}

void Worker::on(ipc::LeaseView frame) {
    if (frame.record.id == 0) {
        throw Fatal("the monitor tells of a lease without an id");
    }
    const LeaseId lease = frame.record.id;
    signals_.lease(lease, replica_.apply(std::move(frame)));
}

void Worker::on(const ipc::LeaseGone& frame) {
    requests_.lease_gone(frame.lease);
    if (replica_.lease(frame.lease) != nullptr) {
        signals_.lease_goes(frame.lease);
        replica_.forget(frame.lease);
    }
}

void Worker::on(const ipc::ViewComplete&) {
    serving_ = true;
    reactor_.start();
}

namespace {

constexpr int no_bus = 3;  // the exit code: the monitor says it, once, and tries again

}  // namespace

int run_worker() {
    boost::asio::io_context io(1);
    MonitorStub monitor(io, UniqueFd(ipc::worker_monitor_fd));
    const auto start = monitor.wait_for_start();
    if (!start) {
        return 0;  // the client was gone before we came
    }
    log::debug("a worker starts", {{"IOMMUD_UID", std::to_string(start->uid)}});
    // The system bus is open from here on; a client's connection starts with Worker::run(), under confinement.
    const bool system_bus = start->kind == ConnectionKind::system_bus;
    BusPtr bus = system_bus ? join_system_bus() : serve_client(UniqueFd(ipc::worker_connection_fd));
    if (!bus) {
        return no_bus;
    }
    Worker worker(io, monitor, start->kind, std::move(bus));
    confine(start->kind);
    worker.run();
    return 0;
}

}  // namespace iommud::worker
