// Where the hook mounts, in images that have something else in mind. The mount itself is for the virtual machine.
#include "client/oci-hook/mount.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

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
    [[nodiscard]] Result<UniqueFd> find() const { return mount_point(root_.borrow(), ::geteuid()); }

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

// ---- who else could put something in its place

TEST_F(MountPoint, IsNotWhereOthersCanWrite) {
    for (const ::mode_t mode : {0777U, 0775U, 0757U}) {
        fs::create_directories(image() / "run");
        ASSERT_EQ(::chmod((image() / "run").c_str(), mode), 0);

        const auto found = find();

        ASSERT_FALSE(found) << std::oct << mode;
        EXPECT_NE(found.error().message.find("can be written to by others"), std::string::npos);
    }
}

TEST_F(MountPoint, IsNotBelowAFolderThatOthersCanWriteTo) {
    fs::create_directories(image() / "open/run");
    ASSERT_EQ(::chmod((image() / "open").c_str(), 0777), 0);
    fs::create_symlink("/open/run", image() / "run");

    EXPECT_FALSE(find());
}

TEST_F(MountPoint, IsInAStickyFolderWhenItIsNobodyElses) {
    fs::create_directories(image() / "run");
    ASSERT_EQ(::chmod((image() / "run").c_str(), 01777), 0);

    EXPECT_TRUE(is(find(), image() / "run/iommud"));
}

TEST_F(MountPoint, IsNotInAFolderOfSomebodyElses) {
    if (::geteuid() == 0) {  // whoever else runs this owns the image himself
        fs::create_directories(image() / "run");
        ASSERT_EQ(::chown((image() / "run").c_str(), 4711, 0), 0);
        EXPECT_FALSE(find());
        ASSERT_EQ(::chown((image() / "run").c_str(), 0, 0), 0);
        ASSERT_EQ(::chmod((image() / "run").c_str(), 01777), 0);
        fs::create_directories(image() / "run/iommud");
        ASSERT_EQ(::chown((image() / "run/iommud").c_str(), 4711, 0), 0);
        EXPECT_FALSE(find()) << "its owner could rename it, in a sticky folder too";
    } else {
        EXPECT_FALSE(mount_point(UniqueFd(::open(image().c_str(), O_PATH | O_CLOEXEC)).borrow(), ::geteuid() + 1));
    }
}

// ---- whether a mount there is a mount elsewhere

constexpr std::string_view mounts =
    "22 28 0:20 / /proc rw,nosuid - proc proc rw\n"
    "28 1 0:22 / / rw,relatime shared:1 - ext4 /dev/sda rw\n"
    "31 28 0:24 / /run rw master:5 - tmpfs shared:3 rw,size=4\n"
    "32 28 0:25 / /both rw shared:7 master:5 - tmpfs tmpfs rw\n"
    "33 28 0:26 / /a\\040shared:9 rw - tmpfs tmpfs rw\n";

TEST(Propagation, IsThatOfASharedMount) {
    EXPECT_EQ(propagates(mounts, 28), true);
    EXPECT_EQ(propagates(mounts, 32), true);
}

TEST(Propagation, IsNoneOfAPrivateOneOrOneThatOnlyReceives) {
    EXPECT_EQ(propagates(mounts, 22), false);
    EXPECT_EQ(propagates(mounts, 31), false);
    EXPECT_EQ(propagates(mounts, 33), false);
}

TEST(Propagation, OfAMountThatIsNotThereIsNotKnown) {
    EXPECT_EQ(propagates(mounts, 2), std::nullopt);
    EXPECT_EQ(propagates("", 28), std::nullopt);
}

}  // namespace
}  // namespace iommud::hook
