// iommuctl as scripts see it: the program, against a daemon of the test's.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/unit/client/fake_daemon.hpp"

namespace iommud {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Ran {
    int exit_code = -1;
    std::string out;
    std::string err;
};

std::string contents_and_end(std::FILE* file) {
    std::string text;
    std::array<char, 4096> some{};
    std::rewind(file);
    for (std::size_t size = 0; (size = std::fread(some.data(), 1, some.size(), file)) > 0;) {
        text.append(some.data(), size);
    }
    std::fclose(file);
    return text;
}

Ran iommuctl(const std::string& address, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), IOMMUCTL);
    std::vector<char*> pointers;
    for (std::string& argument : arguments) {
        pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    std::FILE* out = std::tmpfile();
    std::FILE* err = std::tmpfile();
    EXPECT_TRUE(out != nullptr && err != nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("IOMMUD_ADDRESS", address.c_str(), 1);
        ::dup2(::fileno(out), STDOUT_FILENO);
        ::dup2(::fileno(err), STDERR_FILENO);
        ::close_range(3, ~0U, 0);  // what the test program itself inherited
        ::execv(pointers.front(), pointers.data());
        ::_exit(127);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents_and_end(out), contents_and_end(err)};
}

TEST(Iommuctl, RunBecomesTheProgramWithItsDescriptors) {
    const FakeDaemon daemon;

    const Ran ran = iommuctl(
        daemon.address(), {"run", "--device", "0000:00:04.0", "--memory", "12MiB", "--label", "test", "--", "sh", "-c",
                           "test -S /proc/$$/fd/$0 && test -S /proc/$$/fd/$1 && test \"$IOMMUD_LEASE_FD\" = $0 && "
                           "test \"$IOMMUD_DEVICE_FDS\" = \"0000:00:04.0=$1\" && echo $IOMMUD_FDS and $2; exit 42",
                           "{lease}", "{device:0000:00:04.0}", "{{text}"});

    EXPECT_EQ(ran.exit_code, 42) << ran.err;
    EXPECT_THAT(ran.out, testing::MatchesRegex("lease=[0-9]+ device:0000:00:04.0=[0-9]+ and \\{text\\}\n"));
    EXPECT_EQ(ran.err, "");
    EXPECT_EQ(daemon.last_request().memory, 12U << 20);
    EXPECT_EQ(daemon.last_request().label, "test");
}

TEST(Iommuctl, RunGivesTheProgramNoOtherDescriptor) {
    const FakeDaemon daemon;

    const Ran ran = iommuctl(daemon.address(), {"run", "--device", "0000:00:04.0", "--", "ls", "/proc/self/fd"});

    // stdin, stdout, stderr, lease, device, and the folder that ls reads
    EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 6) << ran.out;
}

TEST(Iommuctl, RunSaysWhenTheKernelIsSimulated) {
    const FakeDaemon daemon({.simulated = true});

    const Ran ran = iommuctl(daemon.address(), {"run", "--device", "0000:00:04.0", "--", "true"});

    EXPECT_EQ(ran.exit_code, 0);
    EXPECT_THAT(ran.err, HasSubstr("SIMULATED KERNEL"));
}

TEST(Iommuctl, RunOfAProgramThatDoesNotExistFails) {
    const FakeDaemon daemon;

    const Ran ran = iommuctl(daemon.address(), {"run", "--device", "0000:00:04.0", "--", "/nonexistent"});

    EXPECT_EQ(ran.exit_code, 1);
    EXPECT_THAT(ran.err, HasSubstr("run /nonexistent: No such file or directory"));
}

TEST(Iommuctl, RunWithAnUnknownPlaceholderAsksNobody) {
    const FakeDaemon daemon;

    const Ran ran = iommuctl(daemon.address(), {"run", "--device", "0000:00:04.0", "--", "true", "{what}"});

    EXPECT_EQ(ran.exit_code, 2);
    EXPECT_EQ(daemon.last_request().member, "");
}

TEST(Iommuctl, EndsWithTheExitCodeOfTheError) {
    const std::pair<const char*, int> cases[] = {
        {"org.iommud1.Error.AccessDenied", 3}, {"org.iommud1.Error.MemoryLimit", 5},
        {"org.iommud1.Error.LeaseLimit", 5},   {"org.iommud1.Error.DeviceLimit", 5},
        {"org.iommud1.Error.DeviceBusy", 1},   {"org.iommud1.Error.Internal", 1}};
    for (const auto& [name, exit_code] : cases) {
        const FakeDaemon daemon({.error_name = name, .error_message = "what is missing\x1b[2J"});

        const Ran ran = iommuctl(daemon.address(), {"run", "--device", "0000:00:04.0", "--", "true"});

        EXPECT_EQ(ran.exit_code, exit_code) << name;
        EXPECT_THAT(ran.err, HasSubstr("iommuctl: what is missing\\x1b[2J\n"));
    }
}

TEST(Iommuctl, WithoutADaemonSaysWhereItLookedAndWhatToDo) {
    const Ran ran = iommuctl("/nonexistent/bus", {"status"});

    EXPECT_EQ(ran.exit_code, 4);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr("unix:path=/nonexistent/bus"));
    EXPECT_THAT(ran.err, HasSubstr("systemctl status iommud.socket"));
}

TEST(Iommuctl, StatusIsLoudAboutASimulatedKernel) {
    const FakeDaemon daemon({.simulated = true});

    const Ran people = iommuctl(daemon.address(), {"status"});
    const Ran scripts = iommuctl(daemon.address(), {"status", "--json"});

    EXPECT_EQ(people.exit_code, 0) << people.err;
    EXPECT_EQ(people.out.find("SIMULATED KERNEL"), 0U);
    EXPECT_EQ(nlohmann::json::parse(scripts.out).at("Simulated"), true);
    EXPECT_EQ(nlohmann::json::parse(scripts.out).at("Devices").at("leased"), 1);
}

TEST(Iommuctl, ListsForPeopleAndForScripts) {
    const FakeDaemon daemon;

    EXPECT_EQ(iommuctl(daemon.address(), {"devices"}).out,
              "ADDRESS       ID         GROUP  DRIVER    STATE   LEASE  NAME\n"
              "0000:00:04.0  1234:11e8      3  vfio-pci  leased      1  edu\n");
    EXPECT_THAT(iommuctl(daemon.address(), {"devices", "--no-legend"}).out, Not(HasSubstr("ADDRESS")));
    EXPECT_EQ(nlohmann::json::parse(iommuctl(daemon.address(), {"devices", "--json"}).out).at(0).at("VendorId"),
              0x1234);
    EXPECT_EQ(nlohmann::json::parse(iommuctl(daemon.address(), {"leases", "--json"}).out).at(0).at("Id"), 1);
    EXPECT_THAT(iommuctl(daemon.address(), {"leases"}).out, HasSubstr("12 MiB"));
    EXPECT_THAT(iommuctl(daemon.address(), {"accounts"}).out, HasSubstr("1 GiB"));
}

TEST(Iommuctl, EscapesWhatHoldersWroteIntoTheirLabels) {
    const FakeDaemon daemon({.label = "a\x1b[2Jb"});

    EXPECT_THAT(iommuctl(daemon.address(), {"leases"}).out, HasSubstr("a\\x1b[2Jb"));
    EXPECT_THAT(iommuctl(daemon.address(), {"leases", "--json"}).out, Not(HasSubstr("\x1b")));
}

TEST(Iommuctl, ShowsOneDevice) {
    const FakeDaemon daemon;

    EXPECT_THAT(iommuctl(daemon.address(), {"device", "show", "0000:00:04.0"}).out,
                HasSubstr("Driver:       vfio-pci"));
}

TEST(Iommuctl, SaysThatADeviceOrALeaseIsNotThere) {
    const FakeDaemon daemon;

    const Ran device = iommuctl(daemon.address(), {"device", "show", "0000:00:05.0"});
    const Ran lease = iommuctl(daemon.address(), {"lease", "show", "9"});

    EXPECT_EQ(device.exit_code, 1);
    EXPECT_THAT(device.err, HasSubstr("the daemon knows no device 0000:00:05.0"));
    EXPECT_EQ(lease.exit_code, 1);
    EXPECT_THAT(lease.err, HasSubstr("there is no lease 9"));
}

TEST(Iommuctl, SendsAdministratorsToTheirSocket) {
    const FakeDaemon daemon;

    const Ran ran = iommuctl(daemon.address(), {"lease", "revoke", "1"});

    EXPECT_EQ(ran.exit_code, 1);
    EXPECT_THAT(ran.err, HasSubstr("run it as root"));
}

TEST(Iommuctl, ExplainEndsWithTheExitCodeOfTheDecision) {
    const FakeDaemon allowing;
    const FakeDaemon denying({.allowed = false});
    const std::vector<std::string> arguments{"policy", "explain", "--user", "bob", "--mode", "direct", "0000:00:04.0"};

    const Ran allowed = iommuctl(allowing.address(), arguments);
    const Ran denied = iommuctl(denying.address(), arguments);

    EXPECT_EQ(allowed.exit_code, 0) << allowed.err;
    EXPECT_THAT(allowed.out, HasSubstr("allowed: as the rules say\n"));
    EXPECT_EQ(allowing.last_request().user, "bob");
    EXPECT_EQ(allowing.last_request().mode, "direct");
    EXPECT_EQ(denied.exit_code, 3);
    EXPECT_THAT(denied.out, HasSubstr("nic"));
}

}  // namespace
}  // namespace iommud
