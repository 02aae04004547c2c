// When iommuctl colours, and what it advises.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>

#include "client/iommuctl/verbs.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::ctl {
namespace {

using testing::HasSubstr;

class StyleTest : public testing::Test {
  protected:
    StyleTest() {
        ::setenv("TERM", "xterm", 1);
        ::unsetenv("NO_COLOR");
        EXPECT_EQ(::grantpt(terminal_.get()), 0);
        EXPECT_EQ(::unlockpt(terminal_.get()), 0);
        tty_.reset(::open(::ptsname(terminal_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
        EXPECT_TRUE(tty_.valid());
    }

    UniqueFd terminal_{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    UniqueFd tty_;
};

TEST_F(StyleTest, HasColourOnATerminal) {
    EXPECT_TRUE(style_for({}, tty_.get()).colour);
}

TEST_F(StyleTest, HasNoColourElsewhere) {
    const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));

    EXPECT_FALSE(style_for({}, null.get()).colour);
}

TEST_F(StyleTest, HasNoColourWhereSomebodyDoesNotWantIt) {
    ::setenv("NO_COLOR", "1", 1);

    EXPECT_FALSE(style_for({}, tty_.get()).colour);
}

TEST_F(StyleTest, HasNoColourOnADumbTerminal) {
    ::setenv("TERM", "dumb", 1);

    EXPECT_FALSE(style_for({}, tty_.get()).colour);
}

TEST(Hint, SaysWhereToLookForTheDaemon) {
    const lib::Failure refused{.code = IOMMUD_ERROR_NO_DAEMON, .message = {}, .name = {}, .error_number = ECONNREFUSED};
    const lib::Failure forbidden{.code = IOMMUD_ERROR_NO_DAEMON, .message = {}, .name = {}, .error_number = EACCES};

    EXPECT_THAT(hint_for(refused), HasSubstr("systemctl status"));
    EXPECT_THAT(hint_for(forbidden), HasSubstr("only for root"));
}

}  // namespace
}  // namespace iommud::ctl
