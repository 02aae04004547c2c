// A keeper for the vault's tests: holds what it is given and does nothing with it. A successor ends at once, as one
// does whose predecessor left nothing behind; a keeper ends at TakeBack, at SIGTERM and when the vault is gone. It
// exits without success when it is told to add devices, so that a test can tell that the frame arrived. What a TakeBack
// gives as its reason it tells the vault first, as KeeperWords; with the reason "stays ..." it then does not end.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"

int main() {
    using namespace iommud;
    const ipc::Channel control{UniqueFd(ipc::keeper_control_fd)};
    ipc::Packet packet;
    bool started = false;
    std::array<pollfd, 2> waiting{{{ipc::keeper_control_fd, POLLIN, 0}, {ipc::keeper_lifeline_fd, POLLIN, 0}}};
    while (::poll(waiting.data(), waiting.size(), -1) > 0 && waiting[1].revents == 0) {
        if (control.receive(packet) != ipc::ReceiveResult::packet) {
            return 3;
        }
        if (const auto start = ipc::decode<ipc::KeeperStart>(packet.bytes)) {
            // What it was started with, in the fields that there are.
            const ipc::KeeperReport report{
                .state = LeaseState::active,
                .mapped = start->reserve,
                .maps = static_cast<std::uint32_t>(100 * start->devices.size() + packet.fds.size())};
            started = true;
            if (start->role == ipc::KeeperRole::successor) {
                return 0;
            }
            if (control.send(report) != ipc::SendResult::sent) {
                return 4;
            }
        } else if (!started) {
            return 6;  // something overtook its first frame
        } else if (const auto end = ipc::decode<ipc::TakeBack>(packet.bytes)) {
            const std::string_view reason(end->reason);
            const bool stays = reason.starts_with("stays ");
            const std::string_view words = stays ? reason.substr(6) : end->kill_holder ? "R" : "";
            if (::write(ipc::keeper_word_fd, words.data(), words.size()) != static_cast<ssize_t>(words.size())) {
                return 7;
            }
            if (!stays) {
                return 0;
            }
            static_cast<void>(control.send(ipc::KeeperReport{LeaseState::releasing, 0, 0}));
        } else {
            return 5;
        }
    }
    return 0;
}
