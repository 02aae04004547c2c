#include "client/lib/lease_channel.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/unit/client/fake_keeper.hpp"

namespace iommud::lib {
namespace {

std::ptrdiff_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
}

ino_t inode_of(BorrowedFd fd) {
    struct stat status {};
    EXPECT_EQ(::fstat(fd.get(), &status), 0);
    return status.st_ino;
}

class LeaseChannelTest : public testing::Test {
  protected:
    FakeKeeper keeper_;
    LeaseChannel channel_{keeper_.take_client_end()};
    UniqueFd memory_{::memfd_create("memory", MFD_CLOEXEC)};
};

TEST_F(LeaseChannelTest, MapSendsTheMemoryAndReturnsTheIova) {
    keeper_.say_reply(1, 0x1000000);

    const auto iova = channel_.map(memory_.borrow(), 4096, 8192, IOMMUD_MAP_READ, 0);
    const SeenRequest seen = keeper_.next_request();

    EXPECT_EQ(iova.value(), 0x1000000U);
    EXPECT_EQ(seen.request.op, IOMMUD_MAP);
    EXPECT_EQ(seen.request.flags, IOMMUD_MAP_READ);
    EXPECT_EQ(seen.request.offset, 4096U);
    EXPECT_EQ(seen.request.length, 8192U);
    ASSERT_EQ(seen.fds.size(), 1U);
    EXPECT_EQ(inode_of(seen.fds[0].borrow()), inode_of(memory_.borrow()));
}

TEST_F(LeaseChannelTest, AMapBeyondTheReservationSaysWhatIsFree) {
    keeper_.say_reply(1, 12 << 20, IOMMUD_ERROR_MEMORY_LIMIT);

    const auto iova = channel_.map(memory_.borrow(), 0, 16 << 20, IOMMUD_MAP_READ, 0);

    ASSERT_FALSE(iova);
    EXPECT_EQ(iova.error().code, IOMMUD_ERROR_MEMORY_LIMIT);
    EXPECT_EQ(iova.error().name, "org.iommud1.Error.MemoryLimit");
    EXPECT_EQ(iova.error().value, 12U << 20);
    EXPECT_EQ(iova.error().message, "map 16 MiB: over the lease's memory, of which 12 MiB are free");
}

TEST_F(LeaseChannelTest, AMapThatIsOnePageTooLongIsSaidToTheByte) {
    keeper_.say_reply(1, 12 << 20, IOMMUD_ERROR_MEMORY_LIMIT);

    const auto iova = channel_.map(memory_.borrow(), 0, (12 << 20) + 4096, IOMMUD_MAP_READ, 0);

    EXPECT_EQ(iova.error().message, "map 12587008 bytes: over the lease's memory, of which 12 MiB are free");
}

struct Fault {
    std::uint64_t value;
    const char* text;
};

class ArgumentFaults : public LeaseChannelTest, public testing::WithParamInterface<Fault> {};

TEST_P(ArgumentFaults, AreSaidWithTheAddressThatTheyAreAbout) {
    keeper_.say_reply(1, GetParam().value, IOMMUD_ERROR_INVALID_ARGUMENT);

    const auto iova = channel_.map(memory_.borrow(), 0, 0x1000, IOMMUD_MAP_READ | IOMMUD_MAP_FIXED, 0xfee00000);

    ASSERT_FALSE(iova);
    EXPECT_EQ(iova.error().code, IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(iova.error().value, GetParam().value);
    EXPECT_EQ(iova.error().message, std::string("map 0x1000 bytes at iova 0xfee00000, offset 0x0: ") + GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(
    EachOne, ArgumentFaults,
    testing::Values(
        Fault{IOMMUD_ARGUMENT_FIELD,
              "a flag, a field or a descriptor that the request does not take; a map is for reading, writing or both"},
        Fault{IOMMUD_ARGUMENT_LENGTH, "longer than a map can be"},
        Fault{0x200000 | IOMMUD_ARGUMENT_LENGTH, "the length has to be whole pages of 0x200000 bytes, at least one"},
        Fault{0x1000 | IOMMUD_ARGUMENT_OFFSET, "the offset has to be whole pages of 0x1000 bytes, inside the file"},
        Fault{0x1000 | IOMMUD_IOVA_MISALIGNED, "the iova has to be a multiple of 0x1000"},
        Fault{0xfed00000 | IOMMUD_IOVA_IN_USE, "the map that starts at iova 0xfed00000 is in the way"},
        Fault{0xfee00000 | IOMMUD_IOVA_RESERVED,
              "the platform keeps iova 0xfee00000 for itself; a query says which ranges can be used"},
        Fault{
            0x8000000000 | IOMMUD_IOVA_BEYOND,
            "iova 0x8000000000 lies above all that the devices and their IOMMU can address; a query says which ranges "
            "can be used"},
        Fault{IOMMUD_IOVA_BEYOND, "the range ends above all iovas that there are"},
        Fault{0xfee00000 | IOMMUD_IOVA_REFUSED, "the kernel refuses that iova, which lies in a range that can be used"},
        Fault{0, "not a range that can be used, not whole pages, or in use"}));

TEST_F(LeaseChannelTest, AnErrorBeyondTheProtocolsIsNeverTakenForSuccess) {
    keeper_.say_reply(1, 0, 0x80000000);

    const auto iova = channel_.map(memory_.borrow(), 0, 4096, IOMMUD_MAP_READ, 0);

    ASSERT_FALSE(iova);
    EXPECT_EQ(iova.error().code, IOMMUD_ERROR_PROTOCOL);
}

TEST_F(LeaseChannelTest, AFixedMapThatCameToBeElsewhereIsAProtocolError) {
    keeper_.say_reply(1, 0x2000000);

    const auto iova = channel_.map(memory_.borrow(), 0, 4096, IOMMUD_MAP_READ | IOMMUD_MAP_FIXED, 0x1000000);

    ASSERT_FALSE(iova);
    EXPECT_EQ(iova.error().code, IOMMUD_ERROR_PROTOCOL);
}

TEST_F(LeaseChannelTest, MapWithoutADescriptorAsksNobody) {
    const auto iova = channel_.map(BorrowedFd(), 0, 4096, IOMMUD_MAP_READ, 0);

    ASSERT_FALSE(iova);
    EXPECT_EQ(iova.error().code, IOMMUD_ERROR_INVALID_ARGUMENT);
}

TEST_F(LeaseChannelTest, EventsBeforeAReplyAreKeptInTheirOrder) {
    keeper_.say_event(IOMMUD_RELEASE_REQUESTED, 77);
    keeper_.say_event(IOMMUD_REVOKED, 0);
    keeper_.say_reply(1, 4096);

    const auto unmapped = channel_.unmap(0x1000, 0, 0);
    const auto first = channel_.next_event(std::nullopt);
    const auto second = channel_.next_event(std::nullopt);

    EXPECT_EQ(unmapped.value(), 4096U);
    EXPECT_EQ(first.value().kind, IOMMUD_EVENT_RELEASE_REQUESTED);
    EXPECT_EQ(first.value().deadline, 77U);
    EXPECT_EQ(second.value().kind, IOMMUD_EVENT_REVOKED);
}

TEST_F(LeaseChannelTest, NoEventWithinTheTimeIsNone) {
    const auto event = channel_.next_event(ChannelTransport::Clock::now());

    EXPECT_EQ(event.value().kind, IOMMUD_EVENT_NONE);
}

TEST_F(LeaseChannelTest, AClosedChannelIsAnEndedLease) {
    keeper_.say_event(IOMMUD_REVOKED, 0);
    keeper_.close();

    const auto map = channel_.map(memory_.borrow(), 0, 4096, IOMMUD_MAP_READ, 0);
    const auto revoked = channel_.next_event(std::nullopt);
    const auto ended = channel_.next_event(std::nullopt);

    ASSERT_FALSE(map);
    EXPECT_EQ(map.error().code, IOMMUD_ERROR_LEASE_REVOKED);
    EXPECT_EQ(revoked.value().kind, IOMMUD_EVENT_REVOKED);
    EXPECT_EQ(ended.value().kind, IOMMUD_EVENT_ENDED);
}

TEST_F(LeaseChannelTest, AKeeperThatDiesWithARequestUnreadIsAnEndedLease) {
    keeper_.say_reply(1, 1);
    ASSERT_TRUE(channel_.unmap(0, 0, IOMMUD_UNMAP_ALL));
    keeper_.close();  // with the request in its queue: the client's socket gets ECONNRESET, once

    const auto ended = channel_.next_event(std::nullopt);

    EXPECT_EQ(ended.value().kind, IOMMUD_EVENT_ENDED);
}

TEST_F(LeaseChannelTest, QueryReturnsTheWholeReply) {
    iommud_query_reply reply{};
    reply.kind = IOMMUD_QUERY_REPLY;
    reply.cookie = 1;
    reply.memory_reserved = 12 << 20;
    reply.range_count = 16;
    reply.ranges[15] = {1, 2};
    keeper_.say(reply);

    const auto query = channel_.query();

    EXPECT_EQ(query.value().memory_reserved, 12U << 20);
    EXPECT_EQ(query.value().ranges[15].last, 2U);
}

TEST_F(LeaseChannelTest, DupReturnsADescriptorThatIsCloseOnExec) {
    keeper_.say(iommud_reply{.kind = IOMMUD_REPLY, .error = 0, .cookie = 1, .value = 0}, {memory_.get()});

    const auto copy = channel_.dup();

    ASSERT_TRUE(copy);
    EXPECT_EQ(::fcntl(copy->get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(LeaseChannelTest, AReplyToAnotherRequestEndsTheUseOfTheChannel) {
    keeper_.say_reply(9, 0);
    keeper_.say_reply(2, 0);

    const auto first = channel_.unmap(0, 0, IOMMUD_UNMAP_ALL);
    const auto second = channel_.unmap(0, 0, IOMMUD_UNMAP_ALL);

    EXPECT_EQ(first.error().code, IOMMUD_ERROR_PROTOCOL);
    EXPECT_EQ(second.error().code, IOMMUD_ERROR_PROTOCOL);
}

TEST_F(LeaseChannelTest, AQueryReplyToAMapIsAProtocolError) {
    iommud_query_reply reply{};
    reply.kind = IOMMUD_QUERY_REPLY;
    reply.cookie = 1;
    keeper_.say(reply);

    EXPECT_EQ(channel_.map(memory_.borrow(), 0, 4096, IOMMUD_MAP_READ, 0).error().code, IOMMUD_ERROR_PROTOCOL);
}

TEST_F(LeaseChannelTest, EveryOtherSizeOfAReplyIsAProtocolError) {
    for (std::size_t size = 1; size < 2 * sizeof(iommud_query_reply); ++size) {
        FakeKeeper keeper;
        LeaseChannel channel(keeper.take_client_end());
        std::vector<std::byte> bytes(size);
        bytes[0] = std::byte{size == sizeof(iommud_reply) ? std::uint8_t{9} : std::uint8_t{IOMMUD_REPLY}};
        keeper.say_bytes(bytes.data(), bytes.size());

        EXPECT_EQ(channel.query().error().code, IOMMUD_ERROR_PROTOCOL) << size;
    }
}

TEST_F(LeaseChannelTest, MoreRangesThanAReplyHasRoomForAreAProtocolError) {
    iommud_query_reply reply{};
    reply.kind = IOMMUD_QUERY_REPLY;
    reply.cookie = 1;
    reply.range_count = 17;
    keeper_.say(reply);

    EXPECT_EQ(channel_.query().error().code, IOMMUD_ERROR_PROTOCOL);
}

TEST_F(LeaseChannelTest, DescriptorsThatNobodyAskedForAreClosed) {
    const auto before = open_descriptors();
    const std::vector<int> many(20, memory_.get());
    keeper_.say(iommud_reply{.kind = IOMMUD_REPLY, .error = 0, .cookie = 1, .value = 0}, many);

    const auto copy = channel_.dup();

    EXPECT_EQ(copy.error().code, IOMMUD_ERROR_PROTOCOL);
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(LeaseChannelTest, AKeeperThatOnlySendsEventsIsGivenUp) {
    FakeKeeper keeper;
    LeaseChannel channel(keeper.take_client_end());
    for (int i = 0; i < 65; ++i) {
        keeper.say_event(IOMMUD_RELEASE_REQUESTED, 1);
    }

    EXPECT_EQ(channel.query().error().code, IOMMUD_ERROR_PROTOCOL);
}

}  // namespace
}  // namespace iommud::lib
