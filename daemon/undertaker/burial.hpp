// How monitor and vault close: they do not. Closing the last copy of a socket closes what lies unread in it, and a
// stranger chooses what that is: a TCP socket that lingers, a file of a silent FUSE server (hazard C20). An undertaker,
// a process that can be killed and replaced, gets a copy of each descriptor and closes it last.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "daemon/ipc/channel.hpp"

namespace iommud {

// What an undertaker answers: to a batch, and to the word that it may close.
enum class UndertakerWord : std::uint8_t { closed, received };

// This process's side. An undertaker gets a batch of descriptors in one message; when this process has closed its own
// copies, which the copies under way make harmless, it says so, and the undertaker closes, and acknowledges. It has one
// batch at a time: one that does not come back holds up what is in its batch and nothing else.
//
// A batch is one owner's: the user or the container whose doing the sockets in it are. An owner of whom one batch did
// not come back is not given another undertaker: some closes wait for what no signal ends, and each would keep one for
// good. What that owner leaves goes to the morgue, an undertaker that is never told to close. A full morgue is kept,
// because its exit would close, and another one is opened beside it.
//
// What a stranger connected and nobody else of ours has had is looked through first (turn_away): a socket without a
// descriptor in its queue is closed at once, by this process. So a place in the morgue costs its owner a descriptor
// under way, of which the kernel lets a user have as many as RLIMIT_NOFILE (too_many_unix_fds, net/core/scm.c).
//
// Nothing here waits. One at a time in a process.
class Burial {
  public:
    using Clock = std::chrono::steady_clock;
    using Id = std::uint64_t;                      // an undertaker's, given by the vault
    using Owner = std::uint64_t;                   // whose doing it is: a uid, or a number above all uids
    static constexpr Owner nobody = UINT64_MAX;    // root's, or this daemon's own
    static constexpr std::size_t undertakers = 4;  // of each process that has any
    static constexpr std::size_t most_in_a_batch =
        250;  // SCM_MAX_FD; four of them are far below the 2,024 sockets under
              // way for which the kernel makes a sender wait (garbage.c)
    static constexpr std::chrono::milliseconds patience{2000};
    static constexpr std::chrono::milliseconds short_patience{250};  // while more than `many` wait
    static constexpr std::size_t many = 256;
    static constexpr std::size_t crowd = 4096;  // with more than this waiting, nobody new is let in
    static constexpr std::size_t most_morgues = 48;

    // From here on every socket that this process lets go of waits here (UniqueFd), and so does whatever came with a
    // message and was not taken (ipc::Packet). `wake`, which may run inside of any destructor, sees to it that work()
    // is called soon. `owner_of` tells who answers for a uid, of which a user may have many; without it each does.
    explicit Burial(std::function<void()> wake, std::function<Owner(uid_t)> owner_of = {});
    // Hands over what it can. What is still here then stays open: an exiting process closes without lingering.
    ~Burial();
    Burial(const Burial&) = delete;
    Burial& operator=(const Burial&) = delete;
    Burial(Burial&&) = delete;
    Burial& operator=(Burial&&) = delete;

    // Closes a connection that no other process of ours has or had: at once when no descriptor lies in its queue, else
    // as of `owner`. Whoever connected sees its end in either case. Does not wait.
    static void turn_away(Owner owner, UniqueFd connection);
    // As a destructor of `fd` would, of an owner who is known.
    static void let_go(Owner owner, UniqueFd fd);

    // One more undertaker. An `id` is given once.
    void hire(Id id, ipc::Channel channel);
    // Its channel is readable when work() has something to hear. Invalid for one that is not there.
    [[nodiscard]] BorrowedFd channel(Id id) const;

    // Hands over what it can, and hears what has been closed. Returns whom another one is needed for: who is full(),
    // has hung up, or has not come back in time. To be called again within a quarter of a second while busy().
    [[nodiscard]] std::vector<Id> work(Clock::time_point now);
    // A morgue without room, which goes on to hold what it has: it is not to end, and its channel stays open.
    [[nodiscard]] bool full(Id id) const;
    // Closes the channel of one that work() returned and that is not full(), when nobody waits for it any more.
    void forget(Id id);
    [[nodiscard]] bool busy() const;
    [[nodiscard]] bool crowded() const { return waiting_count_ > crowd; }
    // Whose descriptors go to the morgue.
    [[nodiscard]] const std::set<Owner>& feared() const { return feared_; }

  private:
    struct Undertaker {
        ipc::Channel channel;
        std::optional<Clock::time_point> since;  // that it has a batch
        Owner owner = nobody;                    // whose batch
        bool mark_owed = false;                  // it was not told yet that the copies here are closed
        bool morgue = false;
        std::size_t held = 0;    // by the morgue
        std::size_t unread = 0;  // batches; too many descriptors under way make who sends wait
        bool lost = false;
        bool full = false;      // a morgue
        bool reported = false;  // that it is lost
        bool reported_full = false;
        [[nodiscard]] bool hears();  // takes its words; false: it has hung up
        [[nodiscard]] bool told();   // sends the mark if it can; false: it has hung up
    };
    static void bury_socket(int fd);
    static void bury(int fd);
    static void bury_of(Owner owner, int fd);
    [[nodiscard]] Owner owner_of(int fd) const;
    void fear(Owner owner);
    [[nodiscard]] std::vector<Undertaker*> idle();
    [[nodiscard]] Undertaker* morgue();
    [[nodiscard]] bool at_work_for(Owner owner) const;
    void share_out(Owner owner, Clock::time_point now);
    void lay_out(Owner owner);
    // The first `size` that wait of an owner. False: the undertaker has hung up.
    [[nodiscard]] bool give(Undertaker& undertaker, Owner owner, std::size_t size);

    static Burial* the_one;
    std::function<void()> wake_;
    std::function<Owner(uid_t)> owner_of_;
    std::map<Id, Undertaker> undertakers_;
    std::map<Owner, std::deque<UniqueFd>> waiting_;  // no queue is empty; never destroyed with a descriptor in it
    std::size_t waiting_count_ = 0;
    std::set<Owner> feared_;
    Owner served_last_ = 0;
    std::size_t morgue_room_;
};

}  // namespace iommud
