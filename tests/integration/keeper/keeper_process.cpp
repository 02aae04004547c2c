#include "tests/integration/keeper/keeper_process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace iommud::test {
namespace {

void must(bool condition, const char* what) {
    if (!condition) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

bool readable(BorrowedFd fd) {
    pollfd wait_for{fd.get(), POLLIN, 0};
    return ::poll(&wait_for, 1, patience_ms) == 1;
}

struct Child {
    pid_t pid = -1;
    UniqueFd pidfd;
    UniqueFd lifeline;  // the ends that the vault would have
    UniqueFd word;
};

// As the vault's child does it: the control end becomes 3, the lifeline 4, the pipe for words 5.
Child spawn(const std::string& program, BorrowedFd control, const std::string& failpoint) {
    std::array<int, 2> pipe_ends{};
    must(::pipe2(pipe_ends.data(), O_CLOEXEC) == 0, "pipe");
    UniqueFd read_end(pipe_ends[0]);
    Child child;
    child.lifeline = UniqueFd(pipe_ends[1]);
    must(::pipe2(pipe_ends.data(), O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
    child.word = UniqueFd(pipe_ends[0]);
    const UniqueFd write_end(pipe_ends[1]);
    child.pid = ::fork();
    must(child.pid >= 0, "fork");
    if (child.pid == 0) {
        const int control_copy = ::fcntl(control.get(), F_DUPFD, 10);
        const int lifeline_copy = ::fcntl(read_end.get(), F_DUPFD, 10);
        const int word_copy = ::fcntl(write_end.get(), F_DUPFD, 10);
        ::dup2(control_copy, ipc::keeper_control_fd);
        ::dup2(lifeline_copy, ipc::keeper_lifeline_fd);
        ::dup2(word_copy, ipc::keeper_word_fd);
        ::close_range(ipc::keeper_word_fd + 1, ~0U, 0);
        if (!failpoint.empty()) {
            ::setenv("IOMMUD_FAILPOINT", failpoint.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): one thread after fork
        }
        ::execl(program.c_str(), program.c_str(), nullptr);
        ::_exit(127);
    }
    child.pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
    must(child.pidfd.valid(), "pidfd_open");
    return child;
}

std::optional<int> wait_for_exit(BorrowedFd pidfd) {
    siginfo_t info{};
    if (!readable(pidfd) || ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED) != 0) {
        return std::nullopt;
    }
    return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

}  // namespace

// ---- the client

void Client::send_bytes(const void* bytes, std::size_t size, std::vector<BorrowedFd> fds) const {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(253 * sizeof(int))> control{};
    iovec vector{const_cast<void*>(bytes), size};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
        cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
        for (std::size_t i = 0; i < fds.size(); ++i) {
            const int fd = fds[i].get();
            std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
        }
    }
    must(::sendmsg(socket_.get(), &header, MSG_NOSIGNAL) == static_cast<ssize_t>(size), "send on a lease channel");
}

void Client::send(const iommud_request& request, BorrowedFd memory) const {
    send_bytes(&request, sizeof request, memory.valid() ? std::vector{memory} : std::vector<BorrowedFd>());
}

std::optional<iommud_reply> Client::receive(UniqueFd* descriptor) const {
    iommud_reply reply{};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    iovec vector{&reply, sizeof reply};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    must(readable(socket_.borrow()), "wait for the keeper's answer");
    if (::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC) != sizeof reply) {
        return std::nullopt;
    }
    const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    if (rights != nullptr) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
        UniqueFd received(fd);
        if (descriptor != nullptr) {
            *descriptor = std::move(received);
        }
    }
    return reply;
}

bool Client::hangs_up() const {
    while (receive()) {
    }
    return true;
}

iommud_reply Client::call(const iommud_request& request, BorrowedFd memory) const {
    send(request, memory);
    const auto reply = receive();
    must(reply.has_value(), "the keeper hung up");
    return *reply;
}

iommud_reply Client::map(BorrowedFd memory, std::uint64_t length, std::uint64_t offset) const {
    return call({IOMMUD_MAP, IOMMUD_MAP_READ | IOMMUD_MAP_WRITE, 1, offset, length, 0}, memory);
}

iommud_reply Client::unmap(std::uint64_t iova) const {
    return call({IOMMUD_UNMAP, 0, 2, 0, 0, iova});
}

iommud_query_reply Client::query() const {
    send({IOMMUD_QUERY, 0, 3, 0, 0, 0});
    iommud_query_reply reply{};
    must(readable(socket_.borrow()), "wait for the keeper's answer");
    must(::recv(socket_.get(), &reply, sizeof reply, 0) == sizeof reply, "a query's answer");
    return reply;
}

Client Client::dup() const {
    send({IOMMUD_DUP, 0, 4, 0, 0, 0});
    UniqueFd other;
    const auto reply = receive(&other);
    must(reply && reply->error == IOMMUD_ERROR_NONE && other.valid(), "one more channel");
    return Client(std::move(other));
}

// ---- the vault, the monitor and the worker

ipc::KeeperStart KeeperProcess::start_message(const KeeperOptions& options) {
    ipc::KeeperStart start;
    start.kernel = KernelInterface::simulated;
    start.lease = 7;
    start.reserve = options.reserve;
    start.memlock = options.reserve;
    start.maps = options.maps;
    start.mode = options.mode;
    start.devices = {*PciAddress::parse("0000:00:04.0")};
    return start;
}

KeeperProcess::KeeperProcess(const KeeperOptions& options) {
    auto [monitor, keeper] = ipc::Channel::pair().value();
    auto [worker, delivery] = ipc::Channel::pair().value();
    Child child =
        spawn(options.failpoint.empty() ? IOMMUD_KEEPER : IOMMUD_KEEPER_FAILPOINTS, keeper.fd(), options.failpoint);
    const BorrowedFd fds[] = {delivery.fd()};
    must(monitor.send(start_message(options), fds) == ipc::SendResult::sent, "KeeperStart");
    monitor_ = std::move(monitor);
    worker_ = std::move(worker);
    lifeline_ = std::move(child.lifeline);
    word_ = std::move(child.word);
    pidfd_ = std::move(child.pidfd);
    pid_ = child.pid;
}

KeeperProcess::~KeeperProcess() {
    siginfo_t info{};
    if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0) {
        ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
    }
}

std::optional<KeeperProcess::Delivered> KeeperProcess::delivered() {
    ipc::Packet packet;
    if (!readable(worker_.fd()) || worker_.receive(packet) != ipc::ReceiveResult::packet) {
        return std::nullopt;
    }
    return Delivered{ipc::decode<ipc::Delivery>(packet.bytes).value(), std::move(packet.fds)};
}

Client KeeperProcess::client() {
    auto delivery = delivered();
    must(delivery.has_value(), "a delivery");
    return Client(std::move(delivery->fds.at(0)));
}

std::optional<ipc::Packet> KeeperProcess::next_packet() {
    ipc::Packet packet;
    if (!readable(monitor_.fd()) || monitor_.receive(packet) != ipc::ReceiveResult::packet) {
        return std::nullopt;
    }
    return packet;
}

std::optional<ipc::KeeperReport> KeeperProcess::report_of(LeaseState state) {
    while (auto report = next<ipc::KeeperReport>()) {
        if (report->state == state) {
            return report;
        }
    }
    return std::nullopt;
}

std::string KeeperProcess::words() {
    std::string words(16, ' ');
    const ssize_t size = ::read(word_.get(), words.data(), words.size());
    words.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return words;
}

std::optional<int> KeeperProcess::exit_code() {
    return wait_for_exit(pidfd_.borrow());
}

int exit_code_of_keeper_started_with(const ipc::Bytes& frame, std::size_t descriptors) {
    auto [monitor, keeper] = ipc::Channel::pair().value();
    const Child child = spawn(IOMMUD_KEEPER, keeper.fd(), "");
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const std::vector<BorrowedFd> fds(descriptors, null.borrow());
    must(monitor.send_bytes(frame, fds) == ipc::SendResult::sent, "the first frame");
    return wait_for_exit(child.pidfd.borrow()).value();
}

UniqueFd dma_memory(std::uint64_t length) {
    UniqueFd memory(::memfd_create("dma", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    must(::ftruncate(memory.get(), static_cast<off_t>(length)) == 0, "ftruncate");
    void* const bytes = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    must(bytes != MAP_FAILED, "mmap");
    std::memset(bytes, 1, length);
    ::munmap(bytes, length);
    must(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0, "seal");
    return memory;
}

}  // namespace iommud::test
