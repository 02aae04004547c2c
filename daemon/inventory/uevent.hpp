// The kernel's announcements that a device came, went or changed its driver. A uevent is only ever a reason to look at
// sysfs again: nothing that it says is believed.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "daemon/base/pci_address.hpp"
#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud {

enum class UeventAction { other, add, remove, bind, unbind, change };

struct Uevent {
    UeventAction action = UeventAction::other;
    std::string devpath;
    std::string subsystem;
    std::optional<PciAddress> device;  // the PCI device to look at: of a pci event, or the parent of a vfio-dev one
};

// The datagram that the kernel broadcasts: "ACTION@DEVPATH", then KEY=value strings, each ended by NUL. Nothing for
// one that is not of that form.
[[nodiscard]] std::optional<Uevent> parse_uevent(std::span<const char> datagram);

// Where a datagram came from, as the kernel says.
struct UeventSender {
    std::uint32_t netlink_port = 0;
    std::uint32_t netlink_groups = 0;
    std::optional<std::uint32_t> uid;  // SCM_CREDENTIALS
};

// Only the kernel sends from port 0 to group 1 as uid 0; udev's own events come to group 2.
[[nodiscard]] bool sent_by_kernel(const UeventSender& sender);

struct UeventBatch {
    std::set<PciAddress> devices;  // to be read again
    bool lost = false;             // some were lost: rescan everything
};

class UeventSocket {
  public:
    // Needs no privilege; with CAP_NET_ADMIN the receive buffer is 4 MiB, else what net.core.rmem_max allows. Open it
    // before the first scan, or changes in between go unseen. Error: internal.
    [[nodiscard]] static Result<UeventSocket> open();

    [[nodiscard]] BorrowedFd fd() const { return socket_.borrow(); }

    // Takes what has arrived, at most 1,024 datagrams, without waiting. More may be left: the descriptor is readable
    // then. An error (internal) means that the socket is of no use any more.
    [[nodiscard]] Result<UeventBatch> receive() const;

  private:
    explicit UeventSocket(UniqueFd socket) : socket_(std::move(socket)) {}
    UniqueFd socket_;
};

}  // namespace iommud
