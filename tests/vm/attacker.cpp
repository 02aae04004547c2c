// A client that wants out of its lease. Its commands come a line at a time, and each is answered by one:
//
// attacker LEASE DEVICE (run by `iommuctl run`)
//   race SECONDS SEED: eight threads map and unmap at once, on this one channel. How often each error came
//   replace SECONDS SEED: what is mapped is punched, resized, sealed, mapped over, and its descriptor replaced
//   fill [huge]: unmaps all, then maps a page (2 MiB) at a time until it is refused. "COUNT, then ERROR"
//   sparse: unmaps all, then maps pages as far from each other as can be, until it is refused
//   dma: the first time it maps two pages. OK, MISMATCH or BLOCKED
//   holes MIB: maps so much of a file that has no page yet. The error
//   beyond: maps a page that lies beyond its file's end. The error
//   pairs COUNT: maps and unmaps a page so often, and other sizes in between. "done", or the error
//   stale: maps, detaches, has the file's pages replaced by some that nobody has cleared, attaches, and looks at them
//     through the device. "N of others, N unread": pages that hold what somebody else freed; that cannot be read
//   stale-race TRIES: the same while it is being mapped; the worst of them
//   storm, calm: eight threads attach and detach the device without a pause; no longer
//   mapped, unmap-all, close-lease, quit
// attacker eat
//   Locks memory of its own by io_uring, secret memory and mlock until each is refused, says how many pages that were,
//   and holds them until standard input ends.
#include "attacker.hpp"

#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <iostream>
#include <memory>
#include <sstream>
#include <thread>

namespace {

using namespace iommud::test;

constexpr std::uint64_t dma_iova = 0x8000000;
constexpr std::uint64_t huge_page = 2 << 20;

// Pages of anonymous memory that are never given back.
void* new_pages(std::uint64_t size) {
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? nullptr : at;
}

std::uint64_t eat_by_io_uring(std::uint64_t most) {
    std::uint64_t eaten = 0;
    while (eaten < most) {
        io_uring_params parameters{};
        const int ring = static_cast<int>(check(::syscall(SYS_io_uring_setup, 1, &parameters), "io_uring_setup"));
        iovec buffer{new_pages(page), page};
        std::memset(buffer.iov_base, 1, page);
        if (::syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1) != 0) {
            break;
        }
        ++eaten;
    }
    return eaten;
}

std::uint64_t eat_by_secret_memory(std::uint64_t most) {
    constexpr long sys_memfd_secret = 447;
    const int secret = static_cast<int>(check(::syscall(sys_memfd_secret, 0), "memfd_secret"));
    check(::ftruncate(secret, static_cast<off_t>(most * page)), "ftruncate");
    std::uint64_t eaten = 0;
    while (eaten < most && ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, secret,
                                  static_cast<off_t>(eaten * page)) != MAP_FAILED) {
        ++eaten;
    }
    return eaten;
}

std::uint64_t eat_by_mlock(std::uint64_t most) {
    std::uint64_t eaten = 0;
    while (eaten < most && ::mlock(new_pages(page), page) == 0) {
        ++eaten;
    }
    return eaten;
}

int eat() {
    rlimit limit{};
    check(::getrlimit(RLIMIT_MEMLOCK, &limit), "RLIMIT_MEMLOCK");
    constexpr std::uint64_t most = 256;  // of each, where there is no limit
    const std::uint64_t io_uring = eat_by_io_uring(most);
    const std::uint64_t secret = eat_by_secret_memory(most);
    const std::uint64_t mlock = eat_by_mlock(most);
    std::cout << "io_uring " << io_uring << ", secret " << secret << ", mlock " << mlock << std::endl;
    std::string line;
    std::getline(std::cin, line);
    return 0;
}

class Attacker {
  public:
    Attacker(int lease, int device) : x_channel(lease), x_device(device) {}

    std::string step(const std::string& line) {
        std::istringstream words(line);
        std::string word;
        std::string argument;
        unsigned seed = 0;
        words >> word >> argument >> seed;
        if (word == "race") {
            return race(x_channel, static_cast<unsigned>(std::stoul(argument)), seed);
        }
        if (word == "replace") {
            return replace_memory(x_channel, static_cast<unsigned>(std::stoul(argument)), seed);
        }
        if (word == "fill") {
            return argument == "huge" ? fill(huge_page, make_memory(huge_page, MFD_HUGETLB))
                                      : fill(page, make_memory(page));
        }
        if (word == "sparse") {
            return sparse();
        }
        if (word == "dma") {
            return dma();
        }
        if (word == "holes") {
            return holes(std::stoull(argument) << 20, std::stoull(argument) << 20);
        }
        if (word == "beyond") {
            return holes(page, 2 * page);
        }
        if (word == "pairs") {
            return pairs(std::stoul(argument));
        }
        if (word == "stale") {
            return stale_by_attach(x_channel, x_device);
        }
        if (word == "stale-race") {
            return stale_by_race(x_channel, x_device, static_cast<unsigned>(std::stoul(argument)));
        }
        if (word == "storm") {
            return storm();
        }
        if (word == "calm") {
            x_storm.clear();
            return "calm";
        }
        if (word == "mapped") {
            return std::to_string(query().memory_mapped);
        }
        if (word == "unmap-all") {
            return std::to_string(x_channel.unmap_all());
        }
        if (word == "close-lease") {
            x_channel.close();
            return "closed";
        }
        return "what?";
    }

  private:
    [[nodiscard]] iommud_query_reply query() const {
        const auto reply = x_channel.call({IOMMUD_QUERY, 0, 0, 0, 0, 0});
        if (!reply) {
            throw std::runtime_error("the lease has ended");
        }
        return *reply;
    }

    [[nodiscard]] std::string fill(std::uint64_t size, const Fd& memory) const {
        static_cast<void>(x_channel.unmap_all());
        std::uint64_t count = 0;
        int error = 0;
        while ((error = x_channel.map(memory.get(), size, 0x1000000 + count * size)) == 0) {
            ++count;
        }
        return std::to_string(count) + ", then " + std::to_string(error);
    }

    // Each in a table of its own, as near to the root of the tables as there is room.
    [[nodiscard]] std::string sparse() const {
        static_cast<void>(x_channel.unmap_all());
        const iommud_query_reply facts = query();
        const iommud_iova_range widest = *std::max_element(
            facts.ranges, facts.ranges + facts.range_count,
            [](const auto& one, const auto& two) { return one.last - one.first < two.last - two.first; });
        const std::uint64_t stride = (widest.last - widest.first) / facts.most_maps / page * page;
        const Fd memory = make_memory(page);
        std::uint64_t count = 0;
        int error = 0;
        while ((error = x_channel.map(memory.get(), page, widest.first / page * page + page + count * stride)) == 0) {
            ++count;
        }
        return std::to_string(count) + " of " + std::to_string(facts.most_maps) + ", then " + std::to_string(error);
    }

    // Of a file of `size` that nobody has touched.
    [[nodiscard]] std::string holes(std::uint64_t size, std::uint64_t length) const {
        const Fd memory(check(::memfd_create("holes", MFD_CLOEXEC), "memfd_create"));
        check(::ftruncate(memory.get(), static_cast<off_t>(size)), "ftruncate");
        return std::to_string(x_channel.map(memory.get(), length));
    }

    [[nodiscard]] std::string pairs(unsigned long count) const {
        const Fd memory = make_memory(4 * page);
        for (unsigned long i = 0; i < count; ++i) {
            const std::uint64_t length = (1 + i % 4) * page;
            const std::uint64_t at = 0x9000000;
            if (const int error = x_channel.map(memory.get(), length, at); error != 0) {
                return std::to_string(error);
            }
            const auto unmapped = x_channel.call({IOMMUD_UNMAP, 0, 0, 0, 0, at});
            if (!unmapped || unmapped->error != 0) {
                return "not unmapped";
            }
        }
        return "done";
    }

    std::string dma() {
        if (!x_pages) {
            x_memory = make_memory(2 * page);
            if (const int error = x_channel.map(x_memory.get(), 2 * page, dma_iova); error != 0) {
                return "not mapped: " + std::to_string(error);
            }
            x_pages = std::make_unique<DmaPages>(x_memory.get(), 0);
        }
        Edu edu(x_device);
        return to_string(round_trip(edu, *x_pages, dma_iova));
    }

    std::string storm() {
        for (int i = 0; i < 8; ++i) {
            x_storm.emplace_back([device = x_device](const std::stop_token& end) {
                std::uint32_t detach[2] = {sizeof detach, 0};
                std::uint32_t attach[3] = {sizeof attach, 0, 1};  // the lease's address space is the first object
                while (!end.stop_requested()) {
                    ::ioctl(device, 0x3b78, detach);
                    ::ioctl(device, 0x3b77, attach);
                }
            });
        }
        return "storm";
    }

    Channel x_channel;
    int x_device;
    Fd x_memory;
    std::unique_ptr<DmaPages> x_pages;
    std::vector<std::jthread> x_storm;
};

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc == 2 && std::string(argv[1]) == "eat") {
            return eat();
        }
        if (argc != 3) {
            throw std::invalid_argument("usage: attacker LEASE DEVICE | attacker eat");
        }
        Attacker attacker(std::stoi(argv[1]), std::stoi(argv[2]));
        std::cout << "ready" << std::endl;
        for (std::string line; std::getline(std::cin, line) && line != "quit";) {
            std::cout << attacker.step(line) << std::endl;
        }
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "attacker: " << error.what() << '\n';
        return 3;
    }
}
