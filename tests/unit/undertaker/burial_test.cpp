// The side of the process that does not close itself; the test is the undertaker.
#include "daemon/undertaker/burial.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

namespace iommud {
namespace {

using namespace std::chrono_literals;
using ipc::Channel;
using testing::ElementsAre;
using testing::IsEmpty;

class BurialTest : public testing::Test {
  protected:
    void TearDown() override {
        burial_.reset();
        closing = {};  // this process goes on, and closes by itself
    }

    // The undertaker's end of a new one's channel.
    Channel hire(Burial::Id id) {
        auto pair = Channel::pair().value();
        burial_->hire(id, std::move(pair.first));
        return std::move(pair.second);
    }
    std::vector<Burial::Id> work(std::chrono::milliseconds after = 0ms) { return burial_->work(start_ + after); }

    int woken_ = 0;
    std::optional<Burial> burial_{std::in_place, [this] { ++woken_; }};
    Burial::Clock::time_point start_ = Burial::Clock::now();
};

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

bool hung_up(const Channel& channel) {
    pollfd entry{channel.fd().get(), 0, 0};
    return ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLHUP) != 0;
}

// How many descriptors the next packet has; 999 when there is none.
std::size_t batch(const Channel& undertaker) {
    ipc::Packet packet;
    if (undertaker.receive(packet) != ipc::ReceiveResult::packet) {
        return 999;
    }
    for (UniqueFd& fd : packet.fds) {
        close_here(fd.release());  // as an undertaker does
    }
    return packet.fds.size();
}

void acknowledge(const Channel& undertaker) {
    EXPECT_EQ(undertaker.send_bytes(std::array{std::byte{static_cast<std::uint8_t>(UndertakerWord::closed)}}),
              ipc::SendResult::sent);
}

TEST_F(BurialTest, ASocketIsNotClosedByItsOwnerBeforeAnUndertakerHasACopy) {
    auto [ours, peers] = Channel::pair().value();
    const int number = ours.fd().get();

    ours.close();

    EXPECT_TRUE(is_open(number)) << "without an undertaker nothing is closed";
    EXPECT_EQ(woken_, 1);
    const Channel undertaker = hire(1);
    EXPECT_THAT(work(), IsEmpty());
    EXPECT_FALSE(is_open(number));
    EXPECT_FALSE(hung_up(peers)) << "the undertaker's copy is under way";
    ipc::Packet held;
    ASSERT_EQ(undertaker.receive(held), ipc::ReceiveResult::packet);
    ASSERT_EQ(held.fds.size(), 1U);
    close_here(held.fds[0].release());
    EXPECT_TRUE(hung_up(peers));
}

TEST_F(BurialTest, TheMarkFollowsTheBatch) {
    Channel::pair().value();
    const Channel undertaker = hire(1);

    EXPECT_THAT(work(), IsEmpty());

    EXPECT_EQ(batch(undertaker), 2U);
    EXPECT_EQ(batch(undertaker), 0U) << "all copies of the batch here are closed by now";
    EXPECT_EQ(batch(undertaker), 999U);
}

TEST_F(BurialTest, AFileIsClosedAtOnce) {
    const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);

    UniqueFd(number).reset();

    EXPECT_FALSE(is_open(number));
    EXPECT_EQ(woken_, 0);
}

TEST_F(BurialTest, AFileThatCameWithAMessageIsNot) {
    const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    {
        ipc::Packet packet;
        packet.fds.emplace_back(number);
    }

    EXPECT_TRUE(is_open(number));
    const Channel undertaker = hire(1);
    EXPECT_THAT(work(), IsEmpty());
    EXPECT_EQ(batch(undertaker), 1U);
}

TEST_F(BurialTest, APacketThatIsReceivedIntoDropsWhatItHad) {
    auto [ours, peers] = Channel::pair().value();
    const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ipc::Packet packet;
    packet.fds.emplace_back(number);

    EXPECT_EQ(ours.receive(packet), ipc::ReceiveResult::empty);

    EXPECT_TRUE(packet.fds.empty());
    EXPECT_TRUE(is_open(number));
}

TEST_F(BurialTest, WhoDoesNotComeBackIsLostAndTheOthersGoOn) {
    const Channel stuck = hire(1);
    Channel::pair().value();
    EXPECT_THAT(work(), IsEmpty());
    const Channel other = hire(2);
    Channel::pair().value();
    EXPECT_THAT(work(1s), IsEmpty());
    EXPECT_EQ(batch(other), 2U);
    acknowledge(other);
    EXPECT_TRUE(burial_->busy());

    EXPECT_THAT(work(Burial::patience), IsEmpty());
    EXPECT_THAT(work(Burial::patience + 1ms), ElementsAre(1));

    burial_->forget(1);
    EXPECT_FALSE(burial_->busy());
    EXPECT_THAT(work(1h), IsEmpty()) << "nobody is asked for twice";
    EXPECT_EQ(batch(stuck), 2U) << "its batch is its own";
}

TEST_F(BurialTest, ABatchIsForAnIdleUndertakerOnly) {
    const Channel undertaker = hire(1);
    Channel::pair().value();
    EXPECT_THAT(work(), IsEmpty());
    Channel::pair().value();
    EXPECT_THAT(work(), IsEmpty());
    EXPECT_EQ(batch(undertaker), 2U);
    EXPECT_EQ(batch(undertaker), 0U);
    EXPECT_EQ(batch(undertaker), 999U) << "it may be stuck";

    acknowledge(undertaker);

    EXPECT_THAT(work(), IsEmpty());
    EXPECT_EQ(batch(undertaker), 2U);
}

TEST_F(BurialTest, IdleUndertakersShareWhatWaits) {
    const Channel first = hire(1);
    const Channel second = hire(2);
    Channel::pair().value();

    EXPECT_THAT(work(), IsEmpty());

    EXPECT_EQ(batch(first), 1U);
    EXPECT_EQ(batch(second), 1U);
}

TEST_F(BurialTest, PatienceIsShorterWhileManyWait) {
    const Channel undertaker = hire(1);
    Channel::pair().value();
    EXPECT_THAT(work(), IsEmpty());
    for (std::size_t i = 0; i <= Burial::many / 2; ++i) {
        Channel::pair().value();
    }

    EXPECT_THAT(work(Burial::short_patience), IsEmpty());
    EXPECT_THAT(work(Burial::short_patience + 1ms), ElementsAre(1));
}

TEST_F(BurialTest, WhoHangsUpIsLostAtOnceAndWhatWaitsWaitsOn) {
    static_cast<void>(hire(1).take().release());  // not closed: this is no process that ends
    auto end = hire(2);
    close_here(end.take().release());
    Channel::pair().value();

    EXPECT_THAT(work(), ElementsAre(2));
    burial_->forget(2);
    EXPECT_THAT(work(), IsEmpty());
}

TEST_F(BurialTest, ABatchHasNoMoreThanOneMessageCarries) {
    const Channel undertaker = hire(1);
    for (std::size_t i = 0; i < Burial::most_in_a_batch; ++i) {
        Channel::pair().value();
    }

    EXPECT_THAT(work(), IsEmpty());

    EXPECT_EQ(batch(undertaker), Burial::most_in_a_batch);
}

// A socket that `uid` has connected, whose last copy is in our hands. Its peer, and what it connected to, are closed.
int socket_of(uid_t uid) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)), 0);
    EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    // This thread's identity alone, for a moment: not by setresuid(3), which changes every thread's.
    EXPECT_EQ(::syscall(SYS_setresuid, -1, uid, -1), 0);
    EXPECT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(::syscall(SYS_setresuid, -1, 0, -1), 0);
    const int accepted = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    close_here(listener);
    close_here(client);
    return accepted;
}

class BurialOfUsers : public BurialTest {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) {
            GTEST_SKIP() << "only root connects as somebody else";
        }
    }
    static void let_go(uid_t uid, std::size_t count = 1) {
        for (std::size_t i = 0; i < count; ++i) {
            UniqueFd(socket_of(uid)).reset();
        }
    }
    // alice's batch does not come back.
    void lose(const Channel& undertaker) {
        let_go(alice_);
        EXPECT_THAT(work(), IsEmpty());
        EXPECT_EQ(batch(undertaker), 1U);
        EXPECT_EQ(batch(undertaker), 0U);
        EXPECT_THAT(work(Burial::patience + 1ms), ElementsAre(1));
        burial_->forget(1);
    }

    static constexpr uid_t alice_ = 1000;
    static constexpr uid_t bob_ = 1001;
};

TEST_F(BurialOfUsers, ABatchIsOfOneOwner) {
    const Channel first = hire(1);
    const Channel second = hire(2);
    let_go(alice_, 3);
    let_go(bob_, 2);

    EXPECT_THAT(work(), IsEmpty());

    EXPECT_EQ(batch(first) + batch(second), 5U);
    EXPECT_EQ(batch(first), 0U);
    EXPECT_EQ(batch(second), 0U);
}

TEST_F(BurialOfUsers, AnOwnerHasOneUndertakerAtATime) {
    const Channel first = hire(1);
    const Channel second = hire(2);
    let_go(alice_);
    EXPECT_THAT(work(), IsEmpty());
    let_go(alice_);

    EXPECT_THAT(work(), IsEmpty());

    EXPECT_EQ(batch(first), 1U);
    EXPECT_EQ(batch(second), 999U);
}

TEST_F(BurialOfUsers, AnOwnerOfManyUidsIsOne) {
    burial_.reset();
    burial_.emplace([this] { ++woken_; }, [](uid_t) { return Burial::Owner{alice_}; });
    const Channel first = hire(1);
    const Channel second = hire(2);
    let_go(100000);
    let_go(100001);

    EXPECT_THAT(work(), IsEmpty());

    EXPECT_EQ(batch(first), 2U);
    EXPECT_EQ(batch(second), 999U);
}

TEST_F(BurialOfUsers, WhoKeptOneGetsNoOtherUndertakerButTheMorgue) {
    const Channel stuck = hire(1);
    lose(stuck);
    const Channel morgue = hire(2);
    const Channel other = hire(3);
    let_go(alice_, 2);
    EXPECT_THAT(work(), IsEmpty());
    EXPECT_EQ(batch(morgue), 2U);
    EXPECT_EQ(batch(morgue), 999U) << "it is never told to close";
    let_go(alice_);
    let_go(bob_);

    EXPECT_THAT(work(1h), IsEmpty()) << "it is not late";

    EXPECT_EQ(batch(morgue), 1U);
    EXPECT_EQ(batch(other), 1U);
    EXPECT_EQ(batch(other), 0U);
}

TEST_F(BurialOfUsers, OnlySoMuchIsUnderWayToTheMorgue) {
    const Channel stuck = hire(1);
    lose(stuck);
    const Channel morgue = hire(2);
    for (int i = 0; i < 3; ++i) {
        let_go(alice_);
        EXPECT_THAT(work(), IsEmpty());
    }
    EXPECT_EQ(batch(morgue), 1U);
    EXPECT_EQ(batch(morgue), 1U);
    EXPECT_EQ(batch(morgue), 999U);

    EXPECT_EQ(morgue.send_bytes(std::array{std::byte{static_cast<std::uint8_t>(UndertakerWord::received)}}),
              ipc::SendResult::sent);
    EXPECT_THAT(work(), IsEmpty());

    EXPECT_EQ(batch(morgue), 1U);
}

TEST_F(BurialOfUsers, AFullMorgueIsKeptAndAnotherIsOpened) {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit low{3 * Burial::most_in_a_batch, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    burial_.reset();
    burial_.emplace([this] { ++woken_; });
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    const Channel stuck = hire(1);
    lose(stuck);
    Channel morgue = hire(2);
    let_go(alice_);
    EXPECT_THAT(work(), IsEmpty());
    let_go(alice_);

    EXPECT_THAT(work(), ElementsAre(2));
    EXPECT_TRUE(burial_->full(2));
    const Channel next = hire(3);
    EXPECT_THAT(work(), IsEmpty());

    EXPECT_EQ(batch(next), 1U);
    EXPECT_EQ(batch(morgue), 1U) << "its first";
    EXPECT_FALSE(hung_up(morgue)) << "it would exit, and close";
    close_here(morgue.take().release());
    EXPECT_THAT(work(), ElementsAre(2)) << "one that has gone all the same is to be forgotten";
    EXPECT_FALSE(burial_->full(2));
}

TEST_F(BurialTest, AtTheEndWhatWaitsIsHandedOverAndTheRestStaysOpen) {
    Channel undertaker = hire(1);
    auto [ours, peers] = Channel::pair().value();
    static_cast<void>(ours.fd().get());
    ours.close();

    burial_.reset();

    EXPECT_EQ(batch(undertaker), 1U);
    const int number = peers.fd().get();
    peers.close();
    EXPECT_TRUE(is_open(number));
}

}  // namespace
}  // namespace iommud
