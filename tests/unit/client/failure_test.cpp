#include "client/lib/failure.hpp"

#include <gtest/gtest.h>

#include "client/lib/bus_transport.hpp"
#include "daemon/base/error.hpp"

namespace iommud::lib {
namespace {

TEST(Failure, HasTheExitCodesOfTheManual) {
    EXPECT_EQ(exit_code(0), 0);
    EXPECT_EQ(exit_code(IOMMUD_ERROR_DEVICE_BUSY), 1);
    EXPECT_EQ(exit_code(IOMMUD_ERROR_ACCESS_DENIED), 3);
    EXPECT_EQ(exit_code(IOMMUD_ERROR_NO_DAEMON), 4);
    EXPECT_EQ(exit_code(IOMMUD_ERROR_MEMORY_LIMIT), 5);
    EXPECT_EQ(exit_code(IOMMUD_ERROR_LEASE_LIMIT), 5);
    EXPECT_EQ(exit_code(IOMMUD_ERROR_DEVICE_LIMIT), 5);
    EXPECT_EQ(exit_code(IOMMUD_ERROR_MAP_LIMIT), 5);
    EXPECT_EQ(exit_code(12345), 1);
}

TEST(Failure, KnowsEveryErrorOfTheDaemonByName) {
    for (std::uint32_t code = 1; code < error_code_count; ++code) {
        EXPECT_EQ(code_of_name(dbus_error_name(static_cast<ErrorCode>(code))), static_cast<int>(code));
    }
}

TEST(Failure, OfAnUnknownNameIsNeverSuccess) {
    EXPECT_EQ(code_of_name("org.iommud1.Error.Internal"), IOMMUD_ERROR_DAEMON);
    EXPECT_EQ(code_of_name("org.example.Error"), IOMMUD_ERROR_DAEMON);
    EXPECT_EQ(code_of_name(""), IOMMUD_ERROR_DAEMON);
}

TEST(Failure, IsCutToTheRoomOfTheStructure) {
    iommud_failure out{};
    const Failure failure{
        .code = IOMMUD_ERROR_DAEMON, .message = std::string(5000, 'm'), .name = std::string(500, 'n')};

    EXPECT_EQ(report(failure, &out), IOMMUD_ERROR_DAEMON);

    EXPECT_EQ(std::string(out.message), std::string(sizeof out.message - 1, 'm'));
    EXPECT_EQ(std::string(out.name), std::string(sizeof out.name - 1, 'n'));
}

TEST(Failure, NeedsNobodyToReadIt) {
    EXPECT_EQ(report({.code = 7, .message = {}, .name = {}}, nullptr), 7);
}

TEST(Address, MayBeAPath) {
    EXPECT_EQ(normal_address("/run/iommud/bus").value(), "unix:path=/run/iommud/bus");
    EXPECT_EQ(normal_address("/tmp/a b,c;d").value(), "unix:path=/tmp/a%20b%2cc%3bd");
}

TEST(Address, IsASocketOfThisMachineAndNothingElse) {
    EXPECT_TRUE(normal_address("unix:path=/run/iommud/bus"));
    EXPECT_TRUE(normal_address("unix:abstract=test"));
    EXPECT_FALSE(normal_address("unixexec:path=/bin/sh"));
    EXPECT_FALSE(normal_address("tcp:host=localhost,port=1"));
    EXPECT_FALSE(normal_address("unix:path=/a;unixexec:path=/bin/sh"));
    EXPECT_FALSE(normal_address(""));
    EXPECT_FALSE(normal_address("bus"));
}

TEST(Address, WhereNobodyListensIsNoDaemonAndNamesWhatWasTried) {
    const auto bus = Bus::connect("/nonexistent/bus");

    ASSERT_FALSE(bus);
    EXPECT_EQ(bus.error().code, IOMMUD_ERROR_NO_DAEMON);
    EXPECT_EQ(bus.error().message, "no answer from iommud at unix:path=/nonexistent/bus: No such file or directory");
}

}  // namespace
}  // namespace iommud::lib
