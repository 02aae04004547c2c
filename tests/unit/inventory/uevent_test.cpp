#include "daemon/inventory/uevent.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/unit/inventory/fake_sysfs.hpp"

namespace iommud {
namespace {

using namespace std::string_view_literals;

constexpr auto bind_event =
    "bind@/devices/pci0000:00/0000:00:04.0\0ACTION=bind\0DEVPATH=/devices/pci0000:00/0000:00:04.0\0SUBSYSTEM=pci\0"
    "DRIVER=vfio-pci\0SEQNUM=1234\0"sv;

std::string event(std::string_view action, std::string_view devpath, std::string_view subsystem) {
    std::string text(action);
    text.append("@").append(devpath).push_back('\0');
    text.append("SUBSYSTEM=").append(subsystem).push_back('\0');
    return text;
}

TEST(Uevent, APciEventNamesItsDevice) {
    const auto parsed = parse_uevent(bind_event);

    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->action, UeventAction::bind);
    EXPECT_EQ(parsed->devpath, "/devices/pci0000:00/0000:00:04.0");
    EXPECT_EQ(parsed->subsystem, "pci");
    EXPECT_EQ(parsed->device, at("0000:00:04.0"));
}

TEST(Uevent, EveryActionIsKnown) {
    const auto action = [](std::string_view word) {
        return parse_uevent(event(word, "/devices/pci0000:00/0000:00:04.0", "pci"))->action;
    };

    EXPECT_EQ(action("add"), UeventAction::add);
    EXPECT_EQ(action("remove"), UeventAction::remove);
    EXPECT_EQ(action("bind"), UeventAction::bind);
    EXPECT_EQ(action("unbind"), UeventAction::unbind);
    EXPECT_EQ(action("change"), UeventAction::change);
    EXPECT_EQ(action("move"), UeventAction::other);
}

TEST(Uevent, AVfioEventNamesTheDeviceItBelongsTo) {
    const auto parsed =
        parse_uevent(event("add", "/devices/pci0000:00/0000:00:1c.0/0000:02:00.1/vfio-dev/vfio0", "vfio-dev"));

    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->device, at("0000:02:00.1"));
}

TEST(Uevent, OtherDevicesNameNone) {
    const auto device = [](std::string_view devpath, std::string_view subsystem) {
        return parse_uevent(event("add", devpath, subsystem)).value().device;
    };

    EXPECT_EQ(device("/devices/pci0000:00/0000:00:04.0", "usb"), std::nullopt);
    EXPECT_EQ(device("/devices/pci0000:00", "pci"), std::nullopt);
    EXPECT_EQ(device("/bus/pci/drivers/vfio-pci", "drivers"), std::nullopt);
    EXPECT_EQ(device("/devices/virtual/mtty/mtty/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001/vfio-dev/vfio1", "vfio-dev"),
              std::nullopt);
    EXPECT_EQ(device("/devices/pci0000:00/0000:00:04.0/vfio0", "vfio-dev"), std::nullopt);
    EXPECT_EQ(device("/vfio0", "vfio-dev"), std::nullopt);
    EXPECT_EQ(device("/", "vfio-dev"), std::nullopt);
}

TEST(Uevent, AnythingElseIsRefused) {
    const auto refused = [](std::string_view bytes) { return !parse_uevent(bytes).has_value(); };

    EXPECT_TRUE(refused(""sv));
    EXPECT_TRUE(refused("\0"sv));
    EXPECT_TRUE(refused("add@/devices"sv));                 // no NUL
    EXPECT_TRUE(refused("add@/devices\0SUBSYSTEM=pci"sv));  // none at the end
    EXPECT_TRUE(refused("@/devices\0"sv));
    EXPECT_TRUE(refused("add@\0"sv));
    EXPECT_TRUE(refused("add@devices\0"sv));
    EXPECT_TRUE(refused("libudev\0\xfe\xed\xca\xfe\0"sv));  // udev's own form
}

TEST(Uevent, EveryTruncationIsRefusedOrNamesAtMostThatDevice) {
    for (std::size_t size = 0; size < bind_event.size(); ++size) {
        const auto parsed = parse_uevent(bind_event.substr(0, size));
        EXPECT_EQ(parsed && parsed->device ? *parsed->device : at("0000:00:04.0"), at("0000:00:04.0")) << size;
    }
}

TEST(Uevent, OnlyTheKernelIsHeard) {
    EXPECT_TRUE(sent_by_kernel({.netlink_port = 0, .netlink_groups = 1, .uid = 0}));
    EXPECT_FALSE(sent_by_kernel({.netlink_port = 4711, .netlink_groups = 1, .uid = 0}));
    EXPECT_FALSE(sent_by_kernel({.netlink_port = 0, .netlink_groups = 2, .uid = 0}));
    EXPECT_FALSE(sent_by_kernel({.netlink_port = 0, .netlink_groups = 0, .uid = 0}));
    EXPECT_FALSE(sent_by_kernel({.netlink_port = 0, .netlink_groups = 1, .uid = 1000}));
    EXPECT_FALSE(sent_by_kernel({.netlink_port = 0, .netlink_groups = 1, .uid = std::nullopt}));
}

TEST(UeventSocket, IsCloseOnExecAndNeverWaits) {
    const auto socket = UeventSocket::open();
    ASSERT_TRUE(socket) << socket.error().message;

    const auto batch = socket->receive();

    EXPECT_TRUE(batch);
    EXPECT_EQ(::fcntl(socket->fd().get(), F_GETFD), FD_CLOEXEC);
    EXPECT_NE(::fcntl(socket->fd().get(), F_GETFL) & O_NONBLOCK, 0);
}

}  // namespace
}  // namespace iommud
