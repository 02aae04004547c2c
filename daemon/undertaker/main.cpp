// iommud-undertaker: closes what monitor and vault must not, because a close may wait for a stranger. It has no
// privilege, looks at nothing that it is given, and may be killed at any time: what it had is then closed by its end,
// which does not linger. Started by the vault only, with its channel as descriptor 3 and nothing else.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <iterator>

#include "daemon/ipc/channel.hpp"
#include "daemon/sandbox/privileges.hpp"
#include "daemon/sandbox/seccomp.hpp"
#include "daemon/sandbox/undertaker_filter.hpp"
#include "daemon/undertaker/burial.hpp"

namespace iommud {
namespace {

constexpr int channel_fd = 3;

// Without a destructor, whose closes would linger where those of an exit do not.
[[noreturn]] void end(int code) {
    ::_exit(code);
}

void say(UndertakerWord word) {
    if (::write(channel_fd, &word, sizeof word) != sizeof word) {
        end(1);
    }
}

// A packet with descriptors is a batch; the one without that follows says that the sender has closed its copies, so
// that the close here is the last. A morgue gets batches and never that.
[[noreturn]] void serve(const ipc::Channel& channel) {
    std::vector<UniqueFd> batch;
    for (;;) {
        pollfd readable{channel_fd, POLLIN, 0};
        static_cast<void>(::poll(&readable, 1, -1));
        ipc::Packet packet;
        switch (channel.receive(packet)) {
            case ipc::ReceiveResult::empty:
                break;
            case ipc::ReceiveResult::closed:
                end(0);
            case ipc::ReceiveResult::malformed:
                end(1);
            case ipc::ReceiveResult::packet:
                if (!packet.fds.empty()) {
                    std::move(packet.fds.begin(), packet.fds.end(), std::back_inserter(batch));
                    packet.fds.clear();
                    say(UndertakerWord::received);
                } else {
                    batch.clear();
                    say(UndertakerWord::closed);
                }
        }
    }
}

void run() {
    // systemd asks all processes of the unit to end, and the vault still has closing to do then. Its end is this one's:
    // by a hang-up, or, while a close waits, by a signal (PR_SET_PDEATHSIG).
    static_cast<void>(std::signal(SIGTERM, SIG_IGN));
    static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
    sandbox::keep_capabilities({});
    sandbox::forbid_dumps();
    sandbox::enter_seccomp(sandbox::undertaker_filter);
    serve(ipc::Channel(UniqueFd(channel_fd)));
}

}  // namespace
}  // namespace iommud

int main() {
    try {
        iommud::run();
    } catch (const std::exception&) {
        // Nobody reads its standard error; the vault sees the exit.
    }
    return 1;
}
