// A lease's channel as a program uses it: requests with their answers, and the events that come in between.
#pragma once

#include <deque>
#include <optional>

#include "client/lib/channel_transport.hpp"

namespace iommud::lib {

class LeaseChannel {
  public:
    // `channel`: a lease descriptor.
    explicit LeaseChannel(UniqueFd channel) : transport_(std::move(channel)) {}

    [[nodiscard]] BorrowedFd fd() const { return transport_.fd(); }

    // Returns the iova; `flags` of enum iommud_request_flags.
    [[nodiscard]] Outcome<std::uint64_t> map(BorrowedFd memory, std::uint64_t offset, std::uint64_t length,
                                             std::uint32_t flags, std::uint64_t iova);
    // Returns the bytes unmapped; `flags`: 0 or IOMMUD_UNMAP_ALL.
    [[nodiscard]] Outcome<std::uint64_t> unmap(std::uint64_t iova, std::uint64_t length, std::uint32_t flags);
    [[nodiscard]] Outcome<iommud_query_reply> query();
    [[nodiscard]] Outcome<UniqueFd> dup();
    [[nodiscard]] Outcome<void> release();

    // The next event, waiting until `deadline`, for ever without one.
    [[nodiscard]] Outcome<iommud_event> next_event(std::optional<ChannelTransport::Clock::time_point> deadline);

  private:
    [[nodiscard]] Outcome<KeeperPacket> ask(iommud_request request, BorrowedFd passed = {});
    [[nodiscard]] Outcome<KeeperPacket> answer_to(const iommud_request& request);
    [[nodiscard]] Outcome<void> keep_event(const iommud_reply& event);
    [[nodiscard]] tl::unexpected<Failure> broken(std::string message);

    ChannelTransport transport_;
    std::deque<iommud_event> events_;
    std::uint64_t last_cookie_ = 0;
    bool broken_ = false;  // replies no longer match requests: nothing that comes can be believed
};

}  // namespace iommud::lib
