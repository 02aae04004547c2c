#include "daemon/monitor/connection.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <utility>

#include "daemon/base/bytes.hpp"
#include "daemon/base/log.hpp"
#include "daemon/ipc/vault_messages.hpp"
#include "daemon/monitor/burials.hpp"
#include "daemon/monitor/dispatch.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

// Whoever connects has something to say: a client of ours sends its first byte at once.
constexpr std::chrono::seconds longest_silence{30};

// An administrator's answers tell of everybody, see Pages.
constexpr std::size_t most_queued(ConnectionKind kind) {
    return kind == ConnectionKind::admin ? 16 * MiB : 1 * MiB;
}

}  // namespace

Connection::Connection(Monitor& monitor, ConnectionKind kind, Identity who, UniqueFd socket,
                       std::shared_ptr<const EndpointRecord> via)
    : monitor_(monitor),
      kind_(kind),
      who_(std::move(who)),
      via_(std::move(via)),
      endpoint_(kind == ConnectionKind::system_bus ? std::string(bus_endpoint)
                : via_                             ? via_->key()
                                                   : std::string()),
      party_(kind == ConnectionKind::system_bus ? Admission::Party{.uid = 0, .endpoint = {}, .root = true}
                                                : monitor.party_of(who_.uid, via_.get())),
      socket_(std::move(socket)),
      retry_(monitor.io()) {}

Connection::Connection(Monitor& monitor, Connection& bus, Identity who)
    : monitor_(monitor),
      kind_(bus.kind_),
      who_(std::move(who)),
      bus_(bus.shared_from_this()),
      endpoint_(bus.endpoint_),
      retry_(monitor.io()) {}

Connection::~Connection() {
    close();
}

void Connection::close() {
    retry_.cancel();
    if (watch_ && watch_->is_open()) {
        watch_->release();
    }
    watch_.reset();
    Burial::turn_away(owner_of(party_), std::move(socket_));
    if (worker_) {
        worker_->close();
        worker_.reset();
    }
}

void Connection::wait_for_first_byte() {
    watch_.emplace(monitor_.io(), socket_.get());
    watch_->async_wait(boost::asio::posix::descriptor_base::wait_read,
                       [weak = weak_from_this()](const boost::system::error_code& error) {
                           if (const auto self = weak.lock(); self && !error) {
                               self->first_byte();
                           }
                       });
    retry_.expires_after(longest_silence);
    retry_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        if (const auto self = weak.lock(); self && !error) {
            self->drop_if_silent();
        }
    });
}

// Its first byte may have come while this was under way.
void Connection::drop_if_silent() {
    char byte = 0;
    if (socket_.valid() && ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        log::debug(
            fmt::format("{} has said nothing for {} s, closing its connection", who_.text(), longest_silence.count()));
        monitor_.drop(*this);
    }
}

void Connection::first_byte() {
    retry_.cancel();
    char byte = 0;
    if (::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        monitor_.drop(*this);
        return;
    }
    if (monitor_.admission().start_worker(party(), Admission::Clock::now())) {
        start_worker();
        return;
    }
    // Over the rate: it waits, and whoever is not over it does not.
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        if (const auto self = weak.lock(); self && !error) {
            self->first_byte();
        }
    });
}

void Connection::start_worker() {
    auto pair = ipc::Channel::pair();
    const std::optional<std::uint32_t> slot = pair ? monitor_.take_slot(*this) : std::nullopt;
    if (!pair || !slot) {
        log::warning(fmt::format("no worker for {}: {}, closing the connection", who_.text(),
                                 pair ? "all are taken" : pair.error().message));
        monitor_.drop(*this);
        return;
    }
    slot_ = slot;
    pair->first.refuse_descriptors();
    std::vector<UniqueFd> fds;
    if (socket_.valid()) {
        watch_->release();
        watch_.reset();
        fds.push_back(std::move(socket_));
    }
    fds.push_back(pair->second.take());
    monitor_.vault().send(ipc::StartWorker{.slot = *slot, .kind = kind_, .owner = owner_of(party_)}, std::move(fds));
    worker_ =
        AsyncChannel::open(monitor_.io(), std::move(pair->first), {.most_fds = 0, .most_queued = most_queued(kind_)},
                           {.packet =
                                [this](ipc::Packet& packet) {
                                    if (const char* fault = dispatch(monitor_, *this, packet)) {
                                        monitor_.expel(*this, fault);
                                    }
                                },
                            .ended = [this](const std::string& why) { worker_ended(why); }});
    send(ipc::WorkerStart{.kind = kind_, .uid = who_.uid});
    monitor_.views().introduce(*this);
}

void Connection::worker_ended(const std::string& why) {
    if (why != AsyncChannel::hung_up) {
        monitor_.expel(*this, why.c_str());
    }
    // otherwise it is on its way out, and the vault will say so
}

void Connection::fail_request(std::uint64_t cookie, const Error& error) {
    send(ipc::RequestFailed{.cookie = cookie, .code = error.code, .message = error.message});
}

void Connection::forget_answers() {
    if (std::exchange(remembers_, false)) {
        send(ipc::ForgetAnswers{});
    }
}

}  // namespace iommud::monitor
