// iommuctl as scripts see it: the program, against a daemon of the test's.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
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

TEST(Iommuctl, ShowsAdministratorsThePolicyInForce) {
    const FakeDaemon daemon({.admin = true});

    const Ran people = iommuctl(daemon.address(), {"policy", "show"});
    const Ran scripts = iommuctl(daemon.address(), {"policy", "show", "--json"});

    EXPECT_EQ(people.exit_code, 0) << people.err;
    EXPECT_EQ(people.out,
              "KIND  NAME   SAYS                     WHERE\n"
              "deny  never  everybody: every device  10-a.json:3\n");
    EXPECT_EQ(nlohmann::json::parse(scripts.out).at(0).at("where"), "10-a.json:3");
}

TEST(Iommuctl, ShowsOthersNoPolicyAndSaysWhatTheyMaySee) {
    const FakeDaemon daemon;

    const Ran ran = iommuctl(daemon.address(), {"policy", "show"});

    EXPECT_EQ(ran.exit_code, 1);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr("the policy is shown to administrators only"));
    EXPECT_THAT(ran.err, HasSubstr("run it as root"));
}

class Check : public testing::Test {
  protected:
    Check() {
        std::string pattern = testing::TempDir() + "iommuctl-check-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
    }
    ~Check() override { std::filesystem::remove_all(folder_); }
    std::string write(const std::string& name, const std::string& text) {
        std::ofstream(folder_ / name) << text;
        return folder_ / name;
    }
    static Ran check(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"policy", "check"});
        return iommuctl("/nonexistent/bus", std::move(arguments));  // nobody is asked
    }
    std::filesystem::path folder_;
};

const std::string good_policy = R"({"version": 1, "accounts": [{"match": {"user": "root"}, "memory": "1GiB"}],
 "rules": [{"id": "nic", "effect": "allow", "subjects": [{"user": "root"}], "devices": [{"class": "02"}]}]})";
const std::string bad_policy = R"({"version": 1,
 "rules": [{"id": "nic", "effect": "allow", "subjects": [{"user": "nobody-of-that-name"}],
            "devices": [{"vendor": "0x8086"}]}], "acounts": []})";

TEST_F(Check, OfAGoodFileSaysWhatItHas) {
    const Ran ran = check({write("a.json", good_policy)});

    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    EXPECT_EQ(ran.out, "1 file: 1 account, 1 rule\n");
    EXPECT_EQ(check({write("a.json", good_policy), "--no-legend"}).out, "");
}

TEST_F(Check, TellsAllErrorsAndWarningsOfAllFilesInOneGo) {
    const std::string bad = write("a.json", bad_policy);
    const std::string missing = folder_ / "none.json";
    const std::string broken = write("b.json", "{\n");

    const Ran ran = check({bad, missing, broken});

    EXPECT_EQ(ran.exit_code, 1);
    EXPECT_EQ(ran.out, missing + ": open: No such file or directory\n" + bad +
                           R"(:3:36: /rules/0/devices/0/vendor: "0x8086": four hex digits, without 0x)" + "\n" + bad +
                           R"(:3:50: /acounts: unknown key "acounts": did you mean "accounts"?)" + "\n" + broken +
                           ":2:1: JSON syntax: unexpected end of input; expected string literal\n" + bad +
                           R"(:2:67: /rules/0/subjects/0/user: warning: "nobody-of-that-name": no such user in )" +
                           "/etc/passwd; matches nobody\n2 files: 4 errors, 1 warning\n");
}

TEST_F(Check, OfAFolderIsOfItsJsonFiles) {
    write("a.json", good_policy);
    write("b.json", R"({"version": 1})");
    write("README", "no policy");

    EXPECT_EQ(check({folder_}).out, "2 files: 1 account, 1 rule\n");
}

TEST_F(Check, WithoutFilesIsOfWhatTheDaemonWouldLoad) {
    std::filesystem::create_directory(folder_ / "policy.d");
    std::filesystem::permissions(folder_ / "policy.d", std::filesystem::perms(0777));

    const Ran ran = check({"--config", folder_});

    EXPECT_EQ(ran.exit_code, 1);
    EXPECT_THAT(ran.out, HasSubstr((folder_ / "policy.d").string() + ": "));
}

TEST_F(Check, ForScriptsIsJson) {
    const std::string bad = write("a.json", bad_policy);

    const Ran ran = check({"--json", bad});
    const auto found = nlohmann::json::parse(ran.out);

    EXPECT_EQ(ran.exit_code, 1);
    EXPECT_EQ(found.at("Files"), nlohmann::json::array({bad}));
    EXPECT_EQ(found.at("Errors").size(), 2U);
    EXPECT_EQ(found.at("Errors").at(0).at("Line"), 3);
    EXPECT_EQ(found.at("Errors").at(0).at("Pointer"), "/rules/0/devices/0/vendor");
    EXPECT_EQ(found.at("Warnings").size(), 1U);
}

TEST_F(Check, EscapesWhatFilesSay) {
    const Ran ran = check({write("a.json", "{\"version\": 1, \"a\\u202eb\": 1}")});

    EXPECT_EQ(ran.exit_code, 1);
    EXPECT_THAT(ran.out, HasSubstr("a\\u{202e}b"));
}

}  // namespace
}  // namespace iommud
