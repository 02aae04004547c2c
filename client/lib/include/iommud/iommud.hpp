// libiommud for C++20: a layer over <iommud/iommud.h>, with nothing in it but what the C functions do. Link libiommud.
//
//     iommud::client::Lease lease = iommud::client::Connection().acquire({"0000:00:04.0"}, {.memory = 12 << 20});
//     iommud::client::Memory memory(1 << 20);
//     std::uint64_t iova = lease.map(memory, iommud::client::Access::read_write);
//     int device = lease.device("0000:00:04.0");   // VFIO, bound and attached
//
// Failures are thrown as Error. The lease ends with its Lease, unless its lease descriptor was passed on.
#ifndef IOMMUD_HPP
#define IOMMUD_HPP

#include <iommud/iommud.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace iommud::client {

class Error : public std::runtime_error {
  public:
    explicit Error(const iommud_failure& failure) : std::runtime_error(failure.message), failure_(failure) {}
    [[nodiscard]] int code() const { return failure_.code; }  // enum iommud_code, enum iommud_error
    [[nodiscard]] int error_number() const { return failure_.error_number; }
    [[nodiscard]] std::uint64_t value() const { return failure_.value; }
    [[nodiscard]] std::string name() const { return failure_.name; }  // the D-Bus error's, or empty
    [[nodiscard]] int exit_code() const { return iommud_exit_code(failure_.code); }

  private:
    iommud_failure failure_;
};

namespace detail {

struct Delete {
    void operator()(iommud_connection* connection) const { iommud_disconnect(connection); }
    void operator()(iommud_lease* lease) const { iommud_lease_close(lease); }
    void operator()(iommud_memory* memory) const { iommud_memory_free(memory); }
};

// Calls a C function with its arguments and a failure to fill; throws what it filled.
template <class Function, class... Arguments>
void call(Function function, Arguments... arguments) {
    iommud_failure failure{};
    if (function(arguments..., &failure) != 0) {
        throw Error(failure);
    }
}

}  // namespace detail

enum class Pages : std::uint32_t { normal = 0, huge_2m = IOMMUD_MEMORY_HUGE_2M, huge_1g = IOMMUD_MEMORY_HUGE_1G };

// Memory that can be mapped for devices: see iommud_memory_create.
class Memory {
  public:
    explicit Memory(std::size_t length, Pages pages = Pages::normal) {
        iommud_memory* memory = nullptr;
        detail::call(iommud_memory_create, length, static_cast<std::uint32_t>(pages), &memory);
        memory_.reset(memory);
    }
    [[nodiscard]] std::span<std::byte> bytes() const {
        return {static_cast<std::byte*>(iommud_memory_address(memory_.get())), iommud_memory_length(memory_.get())};
    }
    [[nodiscard]] std::size_t length() const { return iommud_memory_length(memory_.get()); }
    [[nodiscard]] int fd() const { return iommud_memory_fd(memory_.get()); }

  private:
    std::unique_ptr<iommud_memory, detail::Delete> memory_;
};

// What the devices may do with a map.
enum class Access : std::uint32_t {
    read = IOMMUD_MAP_READ,
    write = IOMMUD_MAP_WRITE,
    read_write = IOMMUD_MAP_READ | IOMMUD_MAP_WRITE,
};

struct Event {
    iommud_event_kind kind = IOMMUD_EVENT_NONE;
    std::uint64_t deadline = 0;  // usec of CLOCK_MONOTONIC, for IOMMUD_EVENT_RELEASE_REQUESTED
};

class Lease {
  public:
    // Takes over a lease descriptor that was passed on: see iommud_lease_adopt.
    [[nodiscard]] static Lease adopt(int channel) {
        iommud_lease* lease = nullptr;
        detail::call(iommud_lease_adopt, channel, &lease);
        return Lease(lease);
    }

    // A device's VFIO descriptor, still the lease's; -1 for a device that is not in it.
    [[nodiscard]] int device(const std::string& address) const { return fd("device:" + address); }
    [[nodiscard]] int fd(const std::string& name) const { return iommud_lease_fd(lease_.get(), name.c_str()); }
    [[nodiscard]] int channel() const { return fd("lease"); }  // to poll for events
    [[nodiscard]] std::string path() const { return iommud_lease_path(lease_.get()); }
    [[nodiscard]] bool simulated() const { return iommud_lease_simulated(lease_.get()) != 0; }

    // Returns the iova; `at` one of your own, or wherever there is room.
    std::uint64_t map(const Memory& memory, Access access, std::optional<std::uint64_t> at = std::nullopt) {
        return map(memory.fd(), 0, memory.length(), access, at);
    }
    std::uint64_t map(int memfd, std::uint64_t offset, std::uint64_t length, Access access,
                      std::optional<std::uint64_t> at = std::nullopt) {
        std::uint64_t iova = at.value_or(0);
        const std::uint32_t fixed = at ? static_cast<std::uint32_t>(IOMMUD_MAP_FIXED) : 0U;
        detail::call(iommud_map, lease_.get(), memfd, offset, length, static_cast<std::uint32_t>(access) | fixed,
                     &iova);
        return iova;
    }

    // Both return the bytes unmapped; DMA to them has ended.
    std::uint64_t unmap(std::uint64_t iova, std::uint64_t length = 0) {
        std::uint64_t unmapped = 0;
        detail::call(iommud_unmap, lease_.get(), iova, length, &unmapped);
        return unmapped;
    }
    std::uint64_t unmap_all() {
        std::uint64_t unmapped = 0;
        detail::call(iommud_unmap_all, lease_.get(), &unmapped);
        return unmapped;
    }

    [[nodiscard]] iommud_query_reply query() {
        iommud_query_reply reply{};
        detail::call(iommud_query, lease_.get(), &reply);
        return reply;
    }

    // One more descriptor of this lease: the caller's to close, pass on, or adopt.
    [[nodiscard]] int dup() {
        int channel = -1;
        detail::call(iommud_dup, lease_.get(), &channel);
        return channel;
    }

    // Ends the lease for everybody who has it; waits until its memory is unmapped.
    void release() { detail::call(iommud_release, lease_.get()); }

    // Waits for ever without `timeout`; IOMMUD_EVENT_NONE when nothing came within it.
    [[nodiscard]] Event next_event(std::optional<std::chrono::milliseconds> timeout = std::nullopt) {
        iommud_event event{};
        detail::call(iommud_next_event, lease_.get(), timeout ? static_cast<int>(timeout->count()) : -1, &event);
        return {static_cast<iommud_event_kind>(event.kind), event.deadline};
    }

  private:
    friend class Connection;
    explicit Lease(iommud_lease* lease) : lease_(lease) {}

    std::unique_ptr<iommud_lease, detail::Delete> lease_;
};

struct AcquireOptions {
    std::uint64_t memory = 0;  // bytes to reserve for maps; 0: the daemon's default
    std::string mode = "managed";
    std::string label = {};
};

// To the daemon. Only needed to acquire: leases live on without it.
class Connection {
  public:
    Connection() : Connection(nullptr) {}
    explicit Connection(const std::string& address) : Connection(address.c_str()) {}

    [[nodiscard]] Lease acquire(const std::vector<std::string>& devices, const AcquireOptions& options = {}) {
        std::vector<const char*> names;
        names.reserve(devices.size());
        for (const std::string& device : devices) {
            names.push_back(device.c_str());
        }
        const iommud_acquire_options given{sizeof(iommud_acquire_options), options.mode.c_str(), options.label.c_str(),
                                           options.memory};
        iommud_lease* lease = nullptr;
        detail::call(iommud_acquire, connection_.get(), names.data(), names.size(), &given, &lease);
        return Lease(lease);
    }

  private:
    explicit Connection(const char* address) {
        iommud_connection* connection = nullptr;
        detail::call(iommud_connect, address, &connection);
        connection_.reset(connection);
    }

    std::unique_ptr<iommud_connection, detail::Delete> connection_;
};

}  // namespace iommud::client
#endif
