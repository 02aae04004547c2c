// Where the hook mounts, in images that have something else in mind. The mount itself is for the virtual machine.
#include "client/oci-hook/mount.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace iommud::hook {
namespace {

namespace fs = std::filesystem;

class MountPoint : public testing::Test {
  protected:
    MountPoint() {
        std::string name = fs::temp_directory_path() / "iommud-mount.XXXXXX";
        folder_ = ::mkdtemp(name.data());
        fs::create_directories(image() / "etc");
        fs::create_directories(host() / "etc");
        root_ = UniqueFd(::open(image().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    ~MountPoint() override { fs::remove_all(folder_); }
    MountPoint(const MountPoint&) = delete;
    MountPoint& operator=(const MountPoint&) = delete;
    MountPoint(MountPoint&&) = delete;
    MountPoint& operator=(MountPoint&&) = delete;

    [[nodiscard]] fs::path image() const { return folder_ / "image"; }
    [[nodiscard]] fs::path host() const { return folder_ / "host"; }
    [[nodiscard]] Result<UniqueFd> find() const { return mount_point(root_.borrow()); }

    static bool is(const Result<UniqueFd>& found, const fs::path& path) {
        struct stat one {};
        struct stat two {};
        return found && ::fstat(found->get(), &one) == 0 && ::stat(path.c_str(), &two) == 0 &&
               one.st_ino == two.st_ino && one.st_dev == two.st_dev;
    }

  private:
    fs::path folder_;
    UniqueFd root_;
};

TEST_F(MountPoint, IsMadeWhereTheImageHasNone) {
    EXPECT_TRUE(is(find(), image() / "run/iommud"));
}

TEST_F(MountPoint, IsTheOneThatIsThere) {
    fs::create_directories(image() / "run/iommud/kept");

    EXPECT_TRUE(is(find(), image() / "run/iommud"));
    EXPECT_TRUE(fs::exists(image() / "run/iommud/kept"));
}

TEST_F(MountPoint, FollowsALinkToElsewhereInTheImage) {
    fs::create_directories(image() / "var/run");
    fs::create_symlink("/var/run", image() / "run");

    EXPECT_TRUE(is(find(), image() / "var/run/iommud"));
}

TEST_F(MountPoint, StaysInTheImageWhenALinkLeadsOut) {
    fs::create_symlink("../host/etc", image() / "run");

    EXPECT_FALSE(is(find(), host() / "etc/iommud"));
    EXPECT_FALSE(fs::exists(host() / "etc/iommud"));
}

TEST_F(MountPoint, StaysInTheImageWhenALinkNamesTheHostsFolder) {
    fs::create_symlink(host() / "etc", image() / "run");

    EXPECT_FALSE(find()) << "there is no such folder in the image";
    EXPECT_FALSE(fs::exists(host() / "etc/iommud"));
}

TEST_F(MountPoint, OfTheHostsRunIsTheImagesOwnFolder) {
    fs::create_symlink("/etc", image() / "run");

    EXPECT_TRUE(is(find(), image() / "etc/iommud"));
}

TEST_F(MountPoint, IsNoLink) {
    fs::create_directories(image() / "run");
    fs::create_directory_symlink("/etc", image() / "run/iommud");

    EXPECT_FALSE(find());
    fs::remove(image() / "run/iommud");
    fs::create_directory_symlink(host() / "etc", image() / "run/iommud");
    EXPECT_FALSE(find());
    fs::remove(image() / "run/iommud");
    fs::create_directory_symlink("nowhere", image() / "run/iommud");
    EXPECT_FALSE(find());
}

TEST_F(MountPoint, IsNoFile) {
    fs::create_directories(image() / "run");
    std::ofstream(image() / "run/iommud") << "x";

    EXPECT_FALSE(find());
}

TEST_F(MountPoint, IsNoneBelowAFile) {
    std::ofstream(image() / "run") << "x";

    EXPECT_FALSE(find());
}

TEST_F(MountPoint, IsNoneBehindALinkThatLeadsNowhereOrRound) {
    fs::create_symlink("nowhere", image() / "run");
    EXPECT_FALSE(find());
    EXPECT_FALSE(fs::exists(image() / "nowhere"));
    fs::remove(image() / "run");
    fs::create_symlink("run", image() / "run");
    EXPECT_FALSE(find());
}

TEST_F(MountPoint, IsNoneBehindAMagicLink) {
    fs::create_symlink("/proc/self/cwd", image() / "run");

    EXPECT_FALSE(find());
}

}  // namespace
}  // namespace iommud::hook
