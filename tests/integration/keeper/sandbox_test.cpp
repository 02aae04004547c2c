// What a keeper under an attacker's control cannot do, one act after the other: its filter kills it.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/integration/keeper/keeper_process.hpp"

namespace iommud::test {
namespace {

class ForbiddenAct : public testing::TestWithParam<const char*> {};

TEST_P(ForbiddenAct, EndsTheKeeper) {
#ifdef IOMMUD_SANITIZED
    GTEST_SKIP() << "built with sanitizers, the keeper has no filter";
#endif
    KeeperProcess keeper({.failpoint = std::string("delivered:act=") + GetParam()});

    EXPECT_EQ(keeper.exit_code(), -SIGSYS);
}
INSTANTIATE_TEST_SUITE_P(Of, ForbiddenAct,
                         testing::Values("open", "socket", "socketpair", "connect", "fork", "exec", "kill", "pidfd",
                                         "ptrace", "setrlimit", "setpriority", "read", "write", "mmap", "executable",
                                         "ioctl", "fcntl", "lseek", "mount"),
                         [](const auto& act) { return std::string(act.param); });

TEST(KeeperSandbox, WithoutAForbiddenActTheSameKeeperLives) {
    // The other tests mean something only if their keeper came that far.
    KeeperProcess keeper({.failpoint = "delivered:act=nothing"});

    EXPECT_EQ(keeper.client().query().error, 0U);
}

}  // namespace
}  // namespace iommud::test
