// Which nodes the vault opens for a monitor that asks for any (I8), in a sysfs and a /dev of the test's own.
#include "daemon/vault/nodes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>

namespace iommud::vault {
namespace {

namespace fs = std::filesystem;

const std::array<PciAddress, 1> edu{PciAddress{0, 0, 4, 0}};

class Nodes : public testing::Test {
  protected:
    Nodes() {
        std::string pattern = fs::temp_directory_path() / "iommud-nodes-XXXXXX";
        top_ = ::mkdtemp(pattern.data());
        fs::create_directories(top_ / "dev/vfio/devices");
        device("vfio0", 3);
        write("sys/module/iommufd/parameters/allow_unsafe_interrupts", "N");
    }
    ~Nodes() override { fs::remove_all(top_); }

    void write(const std::string& path, const std::string& text) const {
        fs::create_directories((top_ / path).parent_path());
        std::ofstream(top_ / path) << text << '\n';
    }
    // 0000:00:04.0 has a VFIO device of that name, with the number 1:MINOR in sysfs; its node is /dev/null, 1:3.
    void device(const std::string& name, unsigned minor) {
        fs::remove_all(top_ / "sys/bus");
        write("sys/bus/pci/devices/0000:00:04.0/vfio-dev/" + name + "/dev", "1:" + std::to_string(minor));
        const fs::path node = top_ / "dev/vfio/devices" / name;
        made_ = fs::exists(node) || ::mknod(node.c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0;
    }
    void remove(const std::string& path) const { fs::remove(top_ / path); }
    // Makes one below /dev, as which /dev/null will do.
    [[nodiscard]] bool node(const std::string& path) const {
        return ::mknod((top_ / "dev" / path).c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0;
    }
    [[nodiscard]] Folders folders() const { return {top_ / "sys", top_ / "dev", top_ / "proc"}; }
    [[nodiscard]] Result<std::vector<UniqueFd>> open() const {
        return open_devices(KernelInterface::iommufd, edu, folders());
    }
    [[nodiscard]] std::optional<KernelInterface> probe() const { return probe_kernel(folders()); }

    bool made_ = false;

  private:
    fs::path top_;
};

TEST_F(Nodes, AreOpenedWhenTheyAreWhatSysfsSays) {
    const auto opened = open();

    // Who may make no node has none that could be opened.
    EXPECT_EQ(opened.has_value(), made_) << opened.error().message;
}

TEST_F(Nodes, OfAnotherNumberAreRefused) {
    device("vfio0", 5);

    const auto opened = open();

    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::no_such_device);
}

TEST_F(Nodes, WithoutAnIommuAreRefused) {
    device("noiommu-vfio0", 3);

    const auto opened = open();

    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::device_refused);
    EXPECT_NE(opened.error().message.find("without an IOMMU"), std::string::npos) << opened.error().message;
}

TEST_F(Nodes, AreRefusedWhileInterruptsAreUnsafe) {
    for (const char* value : {"Y", ""}) {
        write("sys/module/iommufd/parameters/allow_unsafe_interrupts", value);

        const auto opened = open();

        ASSERT_FALSE(opened) << value;
        EXPECT_EQ(opened.error().code, ErrorCode::device_refused) << value;
        EXPECT_THAT(opened.error().message, testing::HasSubstr("iommufd"));
    }
}

TEST_F(Nodes, AreNotRefusedForTheInterruptsOfTheOtherInterface) {
    write("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y");

    EXPECT_TRUE(!made_ || open()) << open().error().message;
    const auto of_type1 = open_devices(KernelInterface::type1, edu, folders());
    ASSERT_FALSE(of_type1);
    EXPECT_THAT(of_type1.error().message, testing::HasSubstr("vfio_iommu_type1"));
}

TEST_F(Nodes, ThatAKernelDoesNotMakeAreNamedByItsOption) {
    remove("sys/bus/pci/devices/0000:00:04.0/vfio-dev/vfio0/dev");

    const auto opened = open();

    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kernel_unsupported);
    EXPECT_THAT(opened.error().message, testing::EndsWith("CONFIG_VFIO_DEVICE_CDEV"));
}

TEST_F(Nodes, ThatAKernelDoesNotMakeAreNotNeededByType1) {
    remove("sys/bus/pci/devices/0000:00:04.0/vfio-dev/vfio0/dev");
    if (!node("vfio/vfio")) {
        GTEST_SKIP() << "this user may not make device nodes";
    }

    EXPECT_THAT(open().error().message, testing::HasSubstr("after a restart of iommud-vault.service"));
}

struct OpenErrorRow {
    const char* name;
    int number;
    ErrorCode code;
    const char* cause;
    friend void PrintTo(const OpenErrorRow& row, std::ostream* out) { *out << row.name; }
};
class OpenError : public testing::TestWithParam<OpenErrorRow> {};

TEST_P(OpenError, HasACause) {
    const Error error = open_error("/dev/vfio/devices/vfio3", GetParam().number, ErrorCode::no_such_device);

    EXPECT_EQ(error.code, GetParam().code);
    EXPECT_THAT(error.message, testing::HasSubstr("/dev/vfio/devices/vfio3"));
    EXPECT_THAT(error.message, testing::HasSubstr(GetParam().cause));
}

INSTANTIATE_TEST_SUITE_P(OpenErrors, OpenError,
                         testing::Values(OpenErrorRow{"EACCES", EACCES, ErrorCode::device_refused,
                                                      "not root's any more"},
                                         OpenErrorRow{"EPERM", EPERM, ErrorCode::device_refused, "DeviceAllow="},
                                         OpenErrorRow{"EBUSY", EBUSY, ErrorCode::device_busy, "outside of iommud"},
                                         OpenErrorRow{"ENODEV", ENODEV, ErrorCode::no_such_device, "going away"},
                                         OpenErrorRow{"ENXIO", ENXIO, ErrorCode::no_such_device, "going away"},
                                         OpenErrorRow{"ENOENT", ENOENT, ErrorCode::no_such_device, "No such file"},
                                         OpenErrorRow{"ENOMEM", ENOMEM, ErrorCode::memory_limit, "no memory"},
                                         OpenErrorRow{"EMFILE", EMFILE, ErrorCode::internal, "Too many open files"}),
                         [](const auto& row) { return std::string(row.param.name); });

// What a kernel shows of itself, and which interface that is.
struct Kernel {
    bool iommu;
    bool container;
    const char* devices;  // /proc/devices
    std::optional<KernelInterface> expected;
};

class Probe : public Nodes, public testing::WithParamInterface<Kernel> {};

TEST_P(Probe, TakesTheInterfaceThatServesDevices) {
    const Kernel& kernel = GetParam();
    if (kernel.iommu && !node("iommu")) {
        GTEST_SKIP() << "this user may not make device nodes";
    }
    if (kernel.container) {
        ASSERT_TRUE(node("vfio/vfio"));
    }
    write("proc/devices", kernel.devices);

    EXPECT_EQ(probe(), kernel.expected);
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, Probe,
    testing::Values(Kernel{true, true, "Character devices:\n  1 mem\n510 vfio-dev\n511 vfio\n",
                           KernelInterface::iommufd},
                    Kernel{true, false, "Character devices:\n510 vfio-dev\n", KernelInterface::iommufd},
                    Kernel{true, true, "Character devices:\n511 vfio\n", KernelInterface::type1},
                    Kernel{true, true, "Character devices:\n511 not-vfio\n", KernelInterface::iommufd},
                    Kernel{true, false, "Character devices:\n511 vfio\n", KernelInterface::iommufd},
                    Kernel{false, true, "Character devices:\n511 vfio\n", KernelInterface::type1},
                    Kernel{false, false, "Character devices:\n", std::nullopt}));

}  // namespace
}  // namespace iommud::vault
