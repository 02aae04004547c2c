// keeper_alone KEEPER CGROUP|- RESERVE MEMLOCK DEVICE PROGRAM [ARG...], as root
//
// A keeper on the running kernel, without monitor, vault and worker: opens the nodes, starts the program KEEPER as the
// vault does, with a uid of its own and in CGROUP, and runs PROGRAM with the lease's descriptor and the device's in
// place of {lease} and {device}. Says how the keeper ended; its exit status is PROGRAM's.
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "attacker.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace {

using iommud::BorrowedFd;
using iommud::UniqueFd;
using iommud::test::check;
namespace fs = std::filesystem;
namespace ipc = iommud::ipc;

constexpr uid_t keeper_uid = 0x70000042;

[[noreturn]] void become_keeper(const std::string& program, const std::string& cgroup, int control, int lifeline,
                                std::uint64_t memlock) {
    const rlimit limit{memlock + (64 << 20), memlock + (64 << 20)};
    const int third = ::fcntl(control, F_DUPFD, 64);
    const int fourth = ::fcntl(lifeline, F_DUPFD, 64);
    const int score = ::open("/proc/self/oom_score_adj", O_WRONLY);
    bool ready = score >= 0 && ::write(score, "-1000", 5) == 5;
    if (cgroup != "-") {
        const int procs = ::open((cgroup + "/cgroup.procs").c_str(), O_WRONLY);
        ready = ready && procs >= 0 && ::write(procs, "0", 1) == 1;
    }
    ready = ready && ::dup2(third, ipc::keeper_control_fd) >= 0 && ::dup2(fourth, ipc::keeper_lifeline_fd) >= 0 &&
            ::close_range(5, ~0U, 0) == 0 && ::setrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
            ::setresgid(keeper_uid, keeper_uid, keeper_uid) == 0 &&
            ::setresuid(keeper_uid, keeper_uid, keeper_uid) == 0;
    if (ready) {
        ::execl(program.c_str(), "iommud-keeper", nullptr);
    }
    ::_exit(126);
}

// The lease's descriptor and the device's.
std::vector<UniqueFd> receive_delivery(const ipc::Channel& channel) {
    pollfd wait_for{channel.fd().get(), POLLIN, 0};
    ipc::Packet packet;
    if (::poll(&wait_for, 1, 60000) != 1 || channel.receive(packet) != ipc::ReceiveResult::packet ||
        packet.fds.size() != 2) {
        throw std::runtime_error("the keeper delivers nothing");
    }
    return std::move(packet.fds);
}

int run(char** argv) {
    const std::string keeper = argv[1];
    const std::string cgroup = argv[2];
    const auto address = iommud::PciAddress::parse(argv[5]);
    if (!address) {
        throw std::invalid_argument("no address of a device");
    }
    const auto node =
        fs::directory_iterator("/sys/bus/pci/devices/" + address->text() + "/vfio-dev")->path().filename();
    const UniqueFd iommu(check(::open("/dev/iommu", O_RDWR | O_CLOEXEC), "/dev/iommu"));
    UniqueFd device(check(::open(("/dev/vfio/devices" / node).c_str(), O_RDWR | O_CLOEXEC), node.c_str()));
    auto control = ipc::Channel::pair();
    auto delivery = ipc::Channel::pair();
    std::array<int, 2> lifeline{};
    check(::pipe2(lifeline.data(), O_CLOEXEC), "pipe");
    ipc::KeeperStart start;
    start.lease = 1;
    start.reserve = std::stoull(argv[3]);
    start.memlock = std::stoull(argv[4]);
    start.maps = 4096;
    start.devices = {*address};
    start.no_reset_allowed = {*address};
    const std::array<BorrowedFd, 3> fds{iommu.borrow(), delivery->second.fd(), device.borrow()};
    if (control->first.send(start, fds) != ipc::SendResult::sent) {
        throw std::runtime_error("KeeperStart is not sent");
    }
    const pid_t pid = check(::fork(), "fork");
    if (pid == 0) {
        become_keeper(keeper, cgroup, control->second.fd().get(), lifeline[0], start.memlock);
    }
    control->second.close();
    delivery->second.close();
    device.reset();
    std::vector<UniqueFd> given = receive_delivery(delivery->first);
    const pid_t client = check(::fork(), "fork");
    if (client == 0) {
        std::vector<std::string> words;
        for (char** word = argv + 6; *word != nullptr; ++word) {
            const std::string text = *word;
            words.push_back(text == "{lease}"    ? std::to_string(::dup(given[0].get()))
                            : text == "{device}" ? std::to_string(::dup(given[1].get()))
                                                 : text);
        }
        std::vector<char*> arguments;
        for (std::string& word : words) {
            arguments.push_back(word.data());
        }
        arguments.push_back(nullptr);
        ::execvp(arguments[0], arguments.data());
        ::_exit(127);
    }
    given.clear();
    int status = 0;
    check(::waitpid(client, &status, 0), "waitpid");
    int ended = 0;
    check(::waitpid(pid, &ended, 0), "waitpid");
    std::cout << "keeper: " << (WIFEXITED(ended) ? "exit " : "signal ")
              << (WIFEXITED(ended) ? WEXITSTATUS(ended) : WTERMSIG(ended)) << std::endl;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc < 7) {
            throw std::invalid_argument("usage: keeper_alone KEEPER CGROUP|- RESERVE MEMLOCK DEVICE PROGRAM [ARG...]");
        }
        return run(argv);
    } catch (const std::exception& error) {
        std::cerr << "keeper_alone: " << error.what() << '\n';
        return 124;
    }
}
