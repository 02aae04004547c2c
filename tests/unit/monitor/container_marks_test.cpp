#include "daemon/monitor/container_marks.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <random>
#include <set>

#include "daemon/ipc/vault_messages.hpp"
#include "daemon/monitor/identity.hpp"
#include "tests/unit/monitor/fake_processes.hpp"

namespace iommud::monitor {
namespace {

// The ids of a cgroup and those above it, innermost first.
const std::vector<CgroupId> in_web{12, 10};
const std::vector<CgroupId> in_nested{13, 12, 10};
const std::vector<CgroupId> in_other{20, 10};

ContainerMarks with_web() {
    ContainerMarks marks;
    marks.add({.cgroup = 12, .path = "/containers/web", .container = "web"});
    return marks;
}

TEST(ContainerMarks, FindTheInnermostContainer) {
    ContainerMarks marks = with_web();
    EXPECT_EQ(marks.innermost(in_nested)->container, "web");
    EXPECT_EQ(marks.innermost(in_other), nullptr);
    marks.add({.cgroup = 13, .path = "/containers/web/nested", .container = "nested"});

    EXPECT_EQ(marks.innermost(in_nested)->container, "nested");
    EXPECT_EQ(marks.innermost(in_web)->container, "web");
}

TEST(ContainerMarks, LeaveACgroupToItsContainer) {
    const ContainerMarks marks = with_web();

    EXPECT_TRUE(marks.may_mark(in_web, "/containers/web", "web")) << "it starts again";
    EXPECT_FALSE(marks.may_mark(in_web, "/containers/web", "other"));
    EXPECT_TRUE(marks.may_mark(in_other, "/containers/other", "other"));
}

TEST(ContainerMarks, LeaveWhatIsBelowAndAboveToIt) {
    const ContainerMarks marks = with_web();

    EXPECT_FALSE(marks.may_mark(in_nested, "/containers/web/nested", "other"));
    EXPECT_FALSE(marks.may_mark({10}, "/containers", "other"));
    EXPECT_TRUE(marks.may_mark({30, 10}, "/containers/we", "other")) << "the beginning of a name is no cgroup above";
    EXPECT_TRUE(marks.may_mark(in_nested, "/containers/web/nested", "web"));
    EXPECT_TRUE(marks.may_mark({10}, "/containers", "web"));
}

TEST(ContainerMarks, AreBounded) {
    ContainerMarks marks;
    for (CgroupId id = 1; id <= ContainerMarks::most; ++id) {
        ASSERT_TRUE(marks.may_mark({id}, "/" + std::to_string(id), "c"));
        marks.add({.cgroup = id, .path = "/" + std::to_string(id), .container = "c"});
    }

    const auto one_more = marks.may_mark({ContainerMarks::most + 1}, "/x", "c");
    ASSERT_FALSE(one_more);
    EXPECT_NE(one_more.error().message.find("1536 cgroups"), std::string::npos);
    EXPECT_TRUE(marks.may_mark({1}, "/1", "c")) << "what is marked needs no more room";
    EXPECT_FALSE(ContainerMarks().may_mark({1}, std::string(513, 'x'), "c")) << "nor is a path without a bound";
}

TEST(ContainerMarks, FitIntoTheVaultAndComeBack) {
    ContainerMark mark{.cgroup = ~CgroupId{0}, .path = std::string(512, 'p'), .container = std::string(128, 'c')};

    const ipc::Bytes bytes = ipc::encode_value(mark);

    EXPECT_LE(bytes.size(), ipc::max_record);
    EXPECT_EQ(ipc::decode_value<ContainerMark>(bytes), mark);
}

// Whatever happens, in whatever order: a cgroup that was marked and exists stays marked.
TEST(ContainerMarks, OfCgroupsThatExistAreNeverDropped) {
    std::mt19937 random(4711);
    for (int round = 0; round < 200; ++round) {
        ContainerMarks marks;
        std::set<CgroupId> exist;
        std::set<CgroupId> marked;
        CgroupId next = 1;
        for (int step = 0; step < 200; ++step) {
            switch (random() % 4) {
                case 0:
                case 1:
                    exist.insert(next);
                    if (marks.may_mark({next}, "/" + std::to_string(next), "c")) {
                        marks.add({.cgroup = next, .path = "/" + std::to_string(next), .container = "c"});
                        marked.insert(next);
                    }
                    ++next;
                    break;
                case 2:
                    exist.erase(random() % next);
                    break;
                case 3:
                    for (const ContainerMark& gone :
                         marks.collect([&exist](const ContainerMark& mark) { return !exist.contains(mark.cgroup); })) {
                        ASSERT_FALSE(exist.contains(gone.cgroup));
                    }
                    break;
            }
            for (const CgroupId id : marked) {
                ASSERT_TRUE(!exist.contains(id) || marks.contains(id)) << id;
            }
        }
        static_cast<void>(marks.collect([&exist](const ContainerMark& mark) { return !exist.contains(mark.cgroup); }));
        EXPECT_LE(marks.size(), exist.size()) << "what is gone is forgotten";
    }
}

TEST(ContainerMarks, OfCgroupsThatNobodyCanFindAreKept) {
    ContainerMarks marks;
    marks.add({.cgroup = 7, .path = "", .container = "c"});

    EXPECT_TRUE(marks.collect([](const ContainerMark&) { return true; }).empty());
    EXPECT_TRUE(marks.contains(7));
}

class Admits : public testing::Test {
  protected:
    Admits() {
        who.pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
        table.cgroups = {{"/containers/web", in_web}, {"/containers/web/nested", in_nested}, {"/other", in_other}};
    }
    bool from(const std::string& cgroup, const EndpointRecord* via) {
        who.cgroup = cgroup;
        return admits(marks, who, via, table).has_value();
    }

    ContainerMarks marks = with_web();
    Identity who;
    FakeProcesses table;
    EndpointRecord web{
        .id = "web", .pid = 17, .start = 1, .cgroup = 12, .devices = {}, .memory = {}, .annotations = {}};
};

TEST_F(Admits, AContainersProcessesAtItsEndpointAndNowhereElse) {
    EXPECT_TRUE(from("/containers/web", &web));
    EXPECT_TRUE(from("/containers/web/nested", &web));
    EXPECT_FALSE(from("/containers/web", nullptr));
    EXPECT_FALSE(from("/containers/web/nested", nullptr));
}

TEST_F(Admits, TheHostsProcessesAtTheHostsSocketAndNowhereElse) {
    EXPECT_TRUE(from("/other", nullptr));
    EXPECT_TRUE(from("/", nullptr));
    EXPECT_FALSE(from("/other", &web));
    EXPECT_FALSE(from("/", &web));
}

TEST_F(Admits, TheInnermostContainersProcesses) {
    EndpointRecord nested = web;
    nested.id = "nested";
    nested.cgroup = 13;
    marks.add({.cgroup = 13, .path = "/containers/web/nested", .container = "nested"});

    EXPECT_FALSE(from("/containers/web/nested", &web));
    EXPECT_TRUE(from("/containers/web/nested", &nested));
    EXPECT_TRUE(from("/containers/web", &web));
    EXPECT_FALSE(from("/containers/web", &nested));
}

TEST_F(Admits, NobodyWhoseCgroupCannotBeTold) {
    EXPECT_FALSE(from("/gone", nullptr));
    EXPECT_FALSE(from("", nullptr));
    EXPECT_FALSE(from("/gone", &web));
    who.pidfd.reset();
    EXPECT_FALSE(from("/other", nullptr));
    EXPECT_FALSE(from("/", nullptr));
    marks = {};
    EXPECT_TRUE(from("/gone", nullptr)) << "but where there was no container since boot";
}

TEST_F(Admits, NobodyWhoExitsMeanwhile) {
    table.exits_at = "/containers/web";
    EXPECT_FALSE(from("/containers/web", &web));
    FakeProcesses hosts;
    hosts.cgroups = table.cgroups;
    hosts.exits_at = "/other";
    who.cgroup = "/other";
    EXPECT_FALSE(admits(marks, who, nullptr, hosts));
}

}  // namespace
}  // namespace iommud::monitor
