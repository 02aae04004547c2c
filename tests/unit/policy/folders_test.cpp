#include "policy/folders.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace iommud::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

namespace fs = std::filesystem;

class Folders : public testing::Test {
  protected:
    Folders() {
        std::string pattern = testing::TempDir() + "iommud-folders-XXXXXX";
        root_ = ::mkdtemp(pattern.data());
        for (const char* name : {"etc", "run", "usr"}) {
            fs::create_directory(root_ / name);
            fs::permissions(root_ / name, fs::perms(0755));
        }
    }
    ~Folders() override { fs::remove_all(root_); }

    fs::path write(const std::string& name, const std::string& text = "{}") {
        std::ofstream(root_ / name) << text;
        fs::permissions(root_ / name, fs::perms(0644));
        return root_ / name;
    }
    FoldersRead read(std::uint32_t owner = ::getuid()) {
        const std::vector<std::string> folders{root_ / "etc", root_ / "run", root_ / "usr"};
        return read_folders(folders, owner);
    }
    std::vector<std::string> refusals(std::uint32_t owner = ::getuid()) {
        std::vector<std::string> result;
        for (const Diagnostic& refusal : read(owner).refusals) {
            result.push_back(refusal.text().substr(root_.string().size()));
        }
        return result;
    }
    std::vector<std::string> names() {
        std::vector<std::string> result;
        for (const SourceFile& file : read().files) {
            result.push_back(file.name.substr(root_.string().size()));
        }
        return result;
    }

    fs::path root_;
};

TEST_F(Folders, GiveTheirJsonFilesByName) {
    write("etc/20-b.json", "b");
    write("etc/10-a.json", "a");
    write("etc/README");
    write("etc/.hidden.json");
    write("etc/30-c.json~");

    EXPECT_THAT(names(), ElementsAre("/etc/10-a.json", "/etc/20-b.json"));
    EXPECT_EQ(read().files.at(0).text, "a");
    EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(Folders, AnEarlierFolderHidesTheSameNameInALaterOne) {
    write("etc/10-a.json");
    write("run/10-a.json");
    write("run/20-b.json");
    write("usr/20-b.json");
    write("usr/30-c.json");

    EXPECT_THAT(names(), ElementsAre("/etc/10-a.json", "/run/20-b.json", "/usr/30-c.json"));
}

TEST_F(Folders, AFileThatIsRefusedStillHidesALaterOne) {
    fs::permissions(write("etc/10-a.json"), fs::perms(0666));
    write("usr/10-a.json");

    EXPECT_THAT(names(), IsEmpty());
    EXPECT_EQ(refusals().size(), 1U);
}

TEST_F(Folders, ThatDoNotExistHaveNoFiles) {
    fs::remove_all(root_ / "etc");
    fs::remove_all(root_ / "run");
    fs::remove_all(root_ / "usr");

    EXPECT_THAT(names(), IsEmpty());
    EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(Folders, AGroupWritableFileIsRefused) {
    fs::permissions(write("etc/a.json"), fs::perms(0664));

    EXPECT_THAT(refusals(), ElementsAre("/etc/a.json: writable by its group"));
}

TEST_F(Folders, AFileWritableByOthersIsRefused) {
    fs::permissions(write("etc/a.json"), fs::perms(0646));

    EXPECT_THAT(refusals(), ElementsAre("/etc/a.json: writable by others"));
}

TEST_F(Folders, AnothersFolderIsRefusedAndNotRead) {
    write("etc/a.json");
    fs::remove_all(root_ / "run");
    fs::remove_all(root_ / "usr");

    EXPECT_THAT(refusals(::getuid() + 1), ElementsAre("/etc: owned by uid " + std::to_string(::getuid()) + ", not " +
                                                      std::to_string(::getuid() + 1)));
    EXPECT_THAT(read(::getuid() + 1).files, IsEmpty());
}

TEST_F(Folders, AFolderThatOthersMayWriteIsRefused) {
    write("etc/a.json");
    fs::permissions(root_ / "etc", fs::perms(0757));

    EXPECT_THAT(refusals(), ElementsAre("/etc: writable by others"));
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Folders, ALinkIsNotFollowed) {
    fs::create_symlink(write("a.json"), root_ / "etc/a.json");

    EXPECT_THAT(refusals(), ElementsAre("/etc/a.json: a symbolic link"));
}

TEST_F(Folders, ALinkedFolderIsNotFollowed) {
    fs::remove(root_ / "run");
    fs::create_directory_symlink(root_ / "etc", root_ / "run");

    EXPECT_THAT(refusals(), ElementsAre("/run: open: Not a directory"));
}

TEST_F(Folders, AFifoIsRefusedWithoutWaitingForItsWriter) {
    ASSERT_EQ(::mkfifo((root_ / "etc/a.json").c_str(), 0600), 0);

    EXPECT_THAT(refusals(), ElementsAre("/etc/a.json: not a regular file"));
}

TEST_F(Folders, AFolderWithAFilesNameIsRefused) {
    fs::create_directory(root_ / "etc/a.json");

    EXPECT_THAT(refusals(), ElementsAre("/etc/a.json: not a regular file"));
}

TEST_F(Folders, AFileAboveOneMebibyteIsRefused) {
    write("etc/big.json", std::string((1 << 20) + 1, ' '));
    write("etc/just.json", std::string(1 << 20, ' '));

    EXPECT_THAT(refusals(), ElementsAre("/etc/big.json: bigger than 1 MiB"));
    EXPECT_THAT(names(), ElementsAre("/etc/just.json"));
}

TEST_F(Folders, OneFileNamedByAPersonIsReadAsItIs) {
    const fs::path path = write("a.json", "text");
    fs::create_symlink(path, root_ / "link.json");

    EXPECT_EQ(read_source(root_ / "link.json")->text, "text");
    EXPECT_EQ(read_source(root_ / "none.json").error().text(),
              (root_ / "none.json").string() + ": open: No such file or directory");
    EXPECT_EQ(read_source(root_ / "etc").error().text(), (root_ / "etc").string() + ": not a regular file");
}

TEST_F(Folders, NamesComeFromTheThreeFiles) {
    write("etc/passwd", "alice:x:1000:100::\n");
    write("etc/group", "vfio:x:107:alice\n");
    write("etc/subuid", "alice:100000:65536\n");

    const auto names = read_names(root_);

    ASSERT_TRUE(names);
    EXPECT_EQ(names->uid_of("alice"), 1000U);
    EXPECT_EQ(names->gid_of("vfio"), 107U);
    EXPECT_EQ(names->subordinate_in({100000, 100000}).size(), 1U);
}

TEST_F(Folders, NamesDoWithoutSubuidButNotWithoutPasswd) {
    write("etc/group", "");

    EXPECT_EQ(read_names(root_).error().text(), (root_ / "etc/passwd").string() + ": open: No such file or directory");
    write("etc/passwd", "");
    EXPECT_TRUE(read_names(root_));
}

}  // namespace
}  // namespace iommud::policy
