#include "daemon/ipc/codec.hpp"

#include <gtest/gtest.h>

#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::ipc {
namespace {

AcquireRequest some_request() {
    AcquireRequest request;
    request.cookie = 7;
    request.devices = {*PciAddress::parse("0000:00:04.0"), *PciAddress::parse("0000:81:00.1")};
    request.mode = Mode::managed;
    request.memory = 12 << 20;
    request.label = "driver";
    return request;
}

TEST(Codec, AMessageComesBackAsItWas) {
    const AcquireRequest request = some_request();

    const auto back = decode<AcquireRequest>(encode(request));

    ASSERT_TRUE(back);
    EXPECT_EQ(back->cookie, request.cookie);
    EXPECT_EQ(back->devices, request.devices);
    EXPECT_EQ(back->memory, request.memory);
    EXPECT_EQ(back->label, request.label);
}

TEST(Codec, AMapAndANestedStructComeBack) {
    ExplainEntries entries{.cookie = 1, .last = false, .allowed = true, .decision = "yes", .trace = {{{"rule", "a"}}}};
    AccountsEntries accounts{.cookie = 2, .last = true, .accounts = {AccountEntry{.uid = 1000, .memory_limit = 5}}};

    EXPECT_EQ(decode<ExplainEntries>(encode(entries))->trace, entries.trace);
    EXPECT_EQ(decode<AccountsEntries>(encode(accounts))->accounts.at(0).uid, 1000U);
}

TEST(Codec, EveryTruncationIsRefused) {
    const Bytes frame = encode(some_request());

    for (std::size_t size = 0; size < frame.size(); ++size) {
        EXPECT_FALSE(decode<AcquireRequest>(std::span(frame).first(size))) << size;
    }
}

TEST(Codec, BytesLeftOverAreRefused) {
    Bytes frame = encode(some_request());
    frame.push_back(std::byte{0});

    EXPECT_FALSE(decode<AcquireRequest>(frame));
}

TEST(Codec, WhatNoDecoderTakesIsNoFrame) {
    AcquireRequest most = some_request();
    most.label = std::string(max_string, 'x');
    AcquireRequest text = some_request();
    text.label = std::string(max_string + 1, 'x');
    AcquireRequest list = some_request();
    list.devices.resize(max_list + 1);
    ExplainEntries whole{.cookie = 1, .last = true, .allowed = true, .decision = "", .trace = {}};
    for (int i = 0; i < 9; ++i) {
        whole.trace.push_back({{"key", std::string(max_string, 'x')}});
    }

    EXPECT_TRUE(decode<AcquireRequest>(encode(most)));
    EXPECT_TRUE(encode(text).empty());
    EXPECT_TRUE(encode(list).empty());
    EXPECT_TRUE(encode(whole).empty());
}

TEST(Codec, AnotherMessagesTypeIsRefused) {
    EXPECT_FALSE(decode<ReloadRequest>(encode(AccountsRequest{})));
}

TEST(Codec, ACountBeyondTheFrameIsRefusedBeforeAnythingIsAllocated) {
    Bytes frame = encode(AcquireRequest{});
    const std::uint32_t many = 2000;
    std::memcpy(frame.data() + sizeof(FrameHeader) + sizeof(std::uint64_t), &many, sizeof many);

    EXPECT_FALSE(decode<AcquireRequest>(frame));
}

TEST(Codec, AnEnumeratorThatDoesNotExistIsRefused) {
    KillChild kill;
    kill.kind = static_cast<ChildKind>(9);

    EXPECT_FALSE(decode<KillChild>(encode(kill)));
}

TEST(Codec, ASlotBeyond31IsNoAddress) {
    ExtendLease extend;
    extend.devices = {PciAddress{0, 0, 32, 0}};

    EXPECT_FALSE(decode<ExtendLease>(encode(extend)));
}

TEST(Codec, EveryMessageOfEveryChannelIsWellFormedWhenEmpty) {
    EXPECT_TRUE(decode<GrantLease>(encode(GrantLease{})));
    EXPECT_TRUE(decode<VaultHello>(encode(VaultHello{})));
    EXPECT_TRUE(decode<HeldLease>(encode(HeldLease{})));
    EXPECT_TRUE(decode<KeeperStart>(encode(KeeperStart{})));
    EXPECT_TRUE(decode<KeeperReport>(encode(KeeperReport{})));
    EXPECT_TRUE(decode<Delivery>(encode(Delivery{})));
    EXPECT_TRUE(decode<DeviceView>(encode(DeviceView{})));
    EXPECT_TRUE(decode<LeaseView>(encode(LeaseView{})));
    EXPECT_TRUE(decode<ViewComplete>(encode(ViewComplete{})));
    EXPECT_TRUE(decode_value<LeaseRecord>(encode_value(LeaseRecord{})));
}

}  // namespace
}  // namespace iommud::ipc
