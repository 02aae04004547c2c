// Which nodes the vault opens for a monitor that asks for any (I8), in a sysfs and a /dev of the test's own.
#include "daemon/vault/nodes.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
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
    [[nodiscard]] Result<std::vector<UniqueFd>> open() const {
        return open_devices(KernelInterface::iommufd, edu, {top_ / "sys", top_ / "dev"});
    }

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
    EXPECT_EQ(opened.error().code, ErrorCode::group_not_viable);
    EXPECT_NE(opened.error().message.find("without an IOMMU"), std::string::npos) << opened.error().message;
}

TEST_F(Nodes, AreRefusedWhileInterruptsAreUnsafe) {
    for (const char* module : {"iommufd", "vfio_iommu_type1"}) {
        for (const char* value : {"Y", ""}) {
            const std::string path = std::string("sys/module/") + module + "/parameters/allow_unsafe_interrupts";
            write(path, value);

            const auto opened = open();

            ASSERT_FALSE(opened) << path;
            EXPECT_EQ(opened.error().code, ErrorCode::kernel_unsupported) << path;
            EXPECT_NE(opened.error().message.find(module), std::string::npos) << opened.error().message;
            write(path, "N");
        }
    }
}

}  // namespace
}  // namespace iommud::vault
