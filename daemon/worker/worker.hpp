// One worker: one connection, one channel to the monitor, one loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <optional>

#include "daemon/worker/session.hpp"

namespace iommud::worker {

// Everything that exists once the connection is open. Members are in the order in which they lean on each other.
class Worker : private FrameSink {
  public:
    // Waits for the bus when `kind` is the system bus. All arguments outlive the worker. Throws Fatal.
    Worker(boost::asio::io_context& io, MonitorStub& monitor, ConnectionKind kind, BusPtr bus);

    // Serves until the client or the monitor hangs up. Throws Fatal when the monitor misbehaves.
    void run();

  private:
    void on_frame(Frame frame, UniqueFd fd) override;
    void on_frames_done() override;

    void on(const ipc::WorkerStart& frame);
    void on(ipc::ManagerView frame);
    void on(ipc::DeviceView frame);
    void on(const ipc::DeviceGone& frame);
    void on(ipc::LeaseView frame);
    void on(const ipc::LeaseGone& frame);
    void on(const ipc::ViewComplete& frame);

    boost::asio::io_context& io_;
    MonitorStub& monitor_;
    ConnectionKind kind_;
    BusPtr bus_;
    CallbackFailure failure_;
    Replica replica_;
    BusReactor reactor_;
    Signals signals_;
    Requests requests_;
    Session session_;
    bool serving_ = false;
};

// The whole life of the process, from its descriptors 3 and 4 to its exit code. Throws Fatal.
int run_worker();

}  // namespace iommud::worker
