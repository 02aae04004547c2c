#include "daemon/worker/frames.hpp"

#include <fmt/format.h>

#include <optional>

#include "daemon/base/result.hpp"

namespace iommud::worker {
namespace {

struct Rule {
    std::optional<Frame> (*decode)(std::span<const std::byte> bytes);
    std::size_t fds;
    ipc::MessageType type;
    bool starting;
    bool filling;
    bool serving;
};

template <class Message>
std::optional<Frame> decode_as(std::span<const std::byte> bytes) {
    auto message = ipc::decode<Message>(bytes);
    return message ? std::optional<Frame>(std::move(*message)) : std::nullopt;
}

template <class Message>
constexpr Rule rule(std::size_t fds, bool starting, bool filling, bool serving) {
    return {decode_as<Message>, fds, Message::type, starting, filling, serving};
}

// clang-format off
constexpr Rule rules[] = {
    // type                   fds starting filling serving
    rule<ipc::WorkerStart>    (0, true,  false, false),
    rule<ipc::ManagerView>    (0, false, true,  true),
    rule<ipc::DeviceView>     (0, false, true,  true),
    rule<ipc::LeaseView>      (0, false, true,  true),
    rule<ipc::ViewComplete>   (0, false, true,  false),
    rule<ipc::DeviceGone>     (0, false, false, true),
    rule<ipc::LeaseGone>      (0, false, false, true),
    rule<ipc::RequestFailed>  (0, false, false, true),
    rule<ipc::RequestDone>    (0, false, false, true),
    rule<ipc::DeliveryComing> (1, false, false, true),
    rule<ipc::ExplainEntries> (0, false, false, true),
    rule<ipc::AccountsEntries>(0, false, false, true),
    rule<ipc::PolicyEntries>  (0, false, false, true),
    rule<ipc::EndpointOpened> (0, false, false, true),
    rule<ipc::ForgetAnswers>  (0, false, false, true),
};
// clang-format on

bool allowed(const Rule& rule, Phase phase) {
    switch (phase) {
        case Phase::starting:
            return rule.starting;
        case Phase::filling:
            return rule.filling;
        case Phase::serving:
            return rule.serving;
    }
    return false;
}

}  // namespace

Frame decode_frame(std::span<const std::byte> bytes, std::size_t fds, Phase phase) {
    const std::uint32_t type = ipc::frame_type(bytes);
    for (const Rule& rule : rules) {
        if (static_cast<std::uint32_t>(rule.type) != type) {
            continue;
        }
        if (!allowed(rule, phase)) {
            throw Fatal(fmt::format("a frame of type {} from the monitor is out of turn", type));
        }
        if (fds != rule.fds) {
            throw Fatal(
                fmt::format("a frame of type {} from the monitor has {} descriptors, not {}", type, fds, rule.fds));
        }
        if (auto frame = rule.decode(bytes)) {
            return std::move(*frame);
        }
        throw Fatal(fmt::format("a frame of type {} from the monitor is malformed", type));
    }
    throw Fatal(fmt::format("a frame of unknown type {} from the monitor", type));
}

}  // namespace iommud::worker
