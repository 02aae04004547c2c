// Maps and unmaps from many threads at once, and memory that changes while it is being mapped.
#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "attacker.hpp"

namespace iommud::test {
namespace {

using Clock = std::chrono::steady_clock;

// How often each error came; -1 is the lease's end.
class Tally {
  public:
    void add(int error) {
        const std::lock_guard guard(x_lock);
        ++x_counts[error];
    }
    [[nodiscard]] std::string text() const {
        std::string words;
        for (const auto& [error, count] : x_counts) {
            words += (words.empty() ? "" : ", ") + std::to_string(count) + " of " + std::to_string(error);
        }
        return words;
    }

  private:
    std::mutex x_lock;
    std::map<int, unsigned> x_counts;
};

// Runs each of `works` over and over, in a thread of its own, until the time is up.
void at_once(unsigned seconds, const std::vector<std::function<void()>>& works) {
    const Clock::time_point end = Clock::now() + std::chrono::seconds(seconds);
    std::vector<std::jthread> threads;
    threads.reserve(works.size());
    for (const auto& work : works) {
        threads.emplace_back([&work, end] {
            while (Clock::now() < end) {
                work();
            }
        });
    }
}

// One request of any kind. All threads map into the same few places, so that they meet.
void one_of_many(const Channel& channel, std::mt19937& random, const std::vector<Fd>& memories, Tally& tally) {
    constexpr std::uint64_t base = 0x1000000, places = 64;
    const std::size_t which = random() % memories.size();
    const std::uint64_t iova = base + random() % places * page;
    std::optional<iommud_query_reply> reply;
    switch (random() % 16) {
        case 0:
            reply = channel.call({IOMMUD_UNMAP, IOMMUD_UNMAP_ALL, 0, 0, 0, 0});
            break;
        case 1:
            reply = channel.call({IOMMUD_QUERY, 0, 0, 0, 0, 0});
            break;
        case 2:
            reply = channel.call({IOMMUD_DUP, 0, 0, 0, 0, 0});
            break;
        case 3:
        case 4:
        case 5:
        case 6:
            reply = channel.call({IOMMUD_UNMAP, 0, 0, 0, 0, iova});
            break;
        case 7:
            reply = channel.call(Channel::map_request((which + 1) * page, std::nullopt), memories[which].get());
            break;
        default:
            reply = channel.call(Channel::map_request((which + 1) * page, iova), memories[which].get());
            break;
    }
    tally.add(reply ? static_cast<int>(reply->error) : -1);
}

}  // namespace

std::string race(const Channel& channel, unsigned seconds, unsigned seed) {
    constexpr unsigned thread_count = 8;
    std::vector<Fd> memories;  // the n-th has n + 1 pages
    for (std::uint64_t pages = 1; pages <= 16; ++pages) {
        memories.push_back(make_memory(pages * page));
    }
    Tally tally;
    std::vector<std::mt19937> randoms;
    for (unsigned i = 0; i < thread_count; ++i) {
        randoms.emplace_back(seed + i);
    }
    std::vector<std::function<void()>> works;
    for (std::mt19937& random : randoms) {
        works.emplace_back([&channel, &random, &memories, &tally] { one_of_many(channel, random, memories, tally); });
    }
    at_once(seconds, works);
    return tally.text();
}

std::string replace_memory(const Channel& channel, unsigned seconds, unsigned seed) {
    constexpr std::uint64_t size = 64 * page;
    const Fd memory = make_memory(size);
    const Fd other = make_memory(size);
    // Not for writing. (A socket, say, is kept by the keeper, and the sixteenth ends the lease: hazard H4.)
    const Fd readable(check(::open(("/proc/self/fd/" + std::to_string(other.get())).c_str(), O_RDONLY | O_CLOEXEC),
                            "open memory for reading"));
    const Fd number(
        check(::fcntl(memory.get(), F_DUPFD_CLOEXEC, 0), "duplicate"));  // what is sent, whatever it is then
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    Tally tally;
    Tally resized;
    std::mt19937 mapper(seed);
    std::mt19937 puncher(seed + 1);
    const std::vector<std::function<void()>> works{
        [&channel, &number, &tally, &mapper] {
            tally.add(channel.map(number.get(), size));
            if (mapper() % 4 == 0) {
                tally.add(channel.unmap_all());
            }
        },
        [&memory, &puncher] {
            const auto offset = static_cast<off_t>(puncher() % 64 * page);
            ::fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, page);
        },
        [&memory, &resized] {
            // 1: allowed, which the seals forbid.
            resized.add(::ftruncate(memory.get(), 0) == 0 || ::ftruncate(memory.get(), 2 * size) == 0 ? 1 : 0);
        },
        [&memory] {
            for (const int seal : {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE}) {
                const Fd sealed = make_memory(size);
                ::fcntl(sealed.get(), F_ADD_SEALS, seal);
                ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_WRITE);  // refused while it is mapped or pinned for writing
            }
        },
        // What lies at that address is another file's, then nobody's, then the first one's again, and touched.
        [at, &memory, &other] {
            for (const int fd : {other.get(), -1, memory.get()}) {
                const int flags = MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
                if (::mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, 0) == at) {
                    std::memset(at, fd & 0xff, size);
                }
            }
        },
        [&memory, &other, &readable, &number] {
            for (const int fd : {other.get(), readable.get(), memory.get()}) {
                ::dup3(fd, number.get(), O_CLOEXEC);
            }
        }};
    at_once(seconds, works);
    ::munmap(at, size);
    return "maps: " + tally.text() + "; resized: " + resized.text();
}

}  // namespace iommud::test
