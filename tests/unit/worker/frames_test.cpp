#include "daemon/worker/frames.hpp"

#include <gtest/gtest.h>

#include "daemon/base/result.hpp"

namespace iommud::worker {
namespace {

template <class Message>
Frame decode(const Message& message, Phase phase, std::size_t fds = 0) {
    return decode_frame(ipc::encode(message), fds, phase);
}

TEST(Frames, TheFirstIsAWorkerStartAndNothingElse) {
    EXPECT_TRUE(std::holds_alternative<ipc::WorkerStart>(decode(ipc::WorkerStart{}, Phase::starting)));
    EXPECT_THROW(decode(ipc::ManagerView{}, Phase::starting), Fatal);
    EXPECT_THROW(decode(ipc::ViewComplete{}, Phase::starting), Fatal);
    EXPECT_THROW(decode(ipc::WorkerStart{}, Phase::filling), Fatal);
    EXPECT_THROW(decode(ipc::WorkerStart{}, Phase::serving), Fatal);
}

TEST(Frames, AnswersDoNotComeBeforeTheViewIsComplete) {
    EXPECT_THROW(decode(ipc::RequestDone{.cookie = 1}, Phase::filling), Fatal);
    EXPECT_THROW(decode(ipc::DeliveryComing{}, Phase::filling, 1), Fatal);
    EXPECT_THROW(decode(ipc::ForgetAnswers{}, Phase::filling), Fatal);
    EXPECT_NO_THROW(decode(ipc::RequestDone{.cookie = 1}, Phase::serving));
    EXPECT_NO_THROW(decode(ipc::ForgetAnswers{}, Phase::serving));
}

TEST(Frames, OnlyADeliveryHasADescriptorAndItHasOne) {
    EXPECT_NO_THROW(decode(ipc::DeliveryComing{}, Phase::serving, 1));
    EXPECT_THROW(decode(ipc::DeliveryComing{}, Phase::serving, 0), Fatal);
    EXPECT_THROW(decode(ipc::DeliveryComing{}, Phase::serving, 2), Fatal);
    EXPECT_THROW(decode(ipc::RequestDone{}, Phase::serving, 1), Fatal);
}

TEST(Frames, AWorkersOwnRequestsAreNoFramesOfTheMonitor) {
    EXPECT_THROW(decode(ipc::AcquireRequest{}, Phase::serving), Fatal);
    EXPECT_THROW(decode(ipc::ReloadRequest{}, Phase::serving), Fatal);
}

TEST(Frames, EveryTruncationIsRefused) {
    const ipc::Bytes whole = ipc::encode(ipc::ManagerView{.version = "1",
                                                          .kernel = KernelInterface::simulated,
                                                          .features = {"managed"},
                                                          .policy_generation = 1,
                                                          .degraded = {}});

    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_THROW(static_cast<void>(decode_frame(std::span(whole).first(size), 0, Phase::filling)), Fatal) << size;
    }
    EXPECT_NO_THROW(static_cast<void>(decode_frame(whole, 0, Phase::filling)));
}

TEST(Frames, AnEnumeratorThatDoesNotExistIsRefused) {
    ipc::Bytes frame = ipc::encode(ipc::WorkerStart{});
    frame[sizeof(ipc::FrameHeader)] = std::byte{9};

    EXPECT_THROW(static_cast<void>(decode_frame(frame, 0, Phase::starting)), Fatal);
}

}  // namespace
}  // namespace iommud::worker
