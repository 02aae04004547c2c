#include "daemon/inventory/sysfs_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/inventory/fake_sysfs.hpp"

namespace iommud {
namespace {

TEST(SysfsReader, GivesAnAttributeWithoutItsNewline) {
    const FakeSysfs sysfs;
    sysfs.write("a/vendor", "0x1234\n");

    const Attribute read = SysfsReader(sysfs.root()).attribute("a/vendor");

    EXPECT_EQ(read.found, Found::yes);
    EXPECT_EQ(read.text, "0x1234");
}

TEST(SysfsReader, TellsMissingFromUnreadable) {
    const FakeSysfs sysfs;
    sysfs.write("a/file", "text");
    std::filesystem::create_symlink("loop", sysfs.root() / "loop");
    const SysfsReader reader(sysfs.root());

    EXPECT_EQ(reader.attribute("a/other").found, Found::missing);
    EXPECT_EQ(reader.attribute("a/file/below").found, Found::missing);
    EXPECT_EQ(reader.attribute("a").found, Found::unreadable);
    EXPECT_EQ(reader.attribute("loop").found, Found::unreadable);
    EXPECT_EQ(reader.exists("loop"), Found::unreadable);
    EXPECT_EQ(reader.exists("a/other"), Found::missing);
    EXPECT_EQ(reader.link_name("a/file").found, Found::unreadable);
    EXPECT_EQ(reader.link_name("a/other").found, Found::missing);
}

TEST(SysfsReader, ReadsAPageAndRefusesMore) {
    const FakeSysfs sysfs;
    sysfs.write("page", std::string(4096, 'x'));
    sysfs.write("more", std::string(4097, 'x'));
    const SysfsReader reader(sysfs.root());

    EXPECT_EQ(reader.attribute("page").text.size(), 4096U);
    EXPECT_EQ(reader.attribute("more").found, Found::unreadable);
    EXPECT_EQ(reader.attribute("more").text, "");
}

TEST(SysfsReader, GivesTheLastComponentOfALink) {
    const FakeSysfs sysfs;
    std::filesystem::create_symlink("../../bus/pci/drivers/vfio-pci", sysfs.root() / "driver");
    std::filesystem::create_symlink("bare", sysfs.root() / "bare");
    std::filesystem::create_symlink("..", sysfs.root() / "up");
    std::filesystem::create_symlink("ends/with/", sysfs.root() / "empty");
    const SysfsReader reader(sysfs.root());

    EXPECT_EQ(reader.link_name("driver").text, "vfio-pci");
    EXPECT_EQ(reader.link_name("bare").text, "bare");
    EXPECT_EQ(reader.link_name("up").found, Found::unreadable);
    EXPECT_EQ(reader.link_name("empty").found, Found::unreadable);
}

TEST(SysfsReader, ListsNamesInOrder) {
    const FakeSysfs sysfs;
    sysfs.write("directory/b", "");
    sysfs.write("directory/a", "");
    std::vector<std::string> names{"left over"};
    const SysfsReader reader(sysfs.root());

    EXPECT_EQ(reader.list("directory", names), Found::yes);
    EXPECT_THAT(names, testing::ElementsAre("a", "b"));
    EXPECT_EQ(reader.list("elsewhere", names), Found::missing);
    EXPECT_TRUE(names.empty());
}

}  // namespace
}  // namespace iommud
