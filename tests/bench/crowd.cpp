// 64 leases of 8 accounts that map and unmap at once, in the virtual machine: crowd FIRST-UID DEVICE...: a device for
// each lease. As root; the daemon runs, and a policy gives the eight users from FIRST-UID on the devices. Ours and the
// anchor have the same devices in turn.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/bench/asked_helper.hpp"
#include "tests/bench/bare_helper.hpp"
#include "tests/bench/lease_helper.hpp"
#include "tests/bench/must.hpp"
#include "tests/bench/table.hpp"

namespace iommud::bench {
namespace {

constexpr std::size_t accounts = 8;
constexpr std::size_t rounds = 3;
constexpr std::array<std::uint64_t, 2> lengths{2 << 20, 64 << 20};
constexpr std::array<const char*, 2> names{"2 MiB", "64 MiB"};
constexpr std::uint64_t reserve = lengths.back();

using Throughput = std::array<double, lengths.size()>;  // maps and unmaps in a second, of all together

class Crowd {
  public:
    Crowd(std::size_t size, const std::function<Worker(std::size_t)>& become) {
        for (std::size_t i = 0; i < size; ++i) {
            members_.push_back(std::make_unique<Helper>([&become, i] { return become(i); }));
            (*members_.back())(Op::hold);
        }
    }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;
    ~Crowd() {
        while (!members_.empty()) {
            members_.pop_back();  // the later ones have copies of the earlier ones' channels
        }
    }

    Throughput at_once(Op op) {
        Throughput all{};
        for (std::size_t i = 0; i < lengths.size(); ++i) {
            for (auto& member : members_) {
                member->begin(op, lengths[i]);
            }
            for (auto& member : members_) {
                const Seconds churned = member->end();
                all[i] += churned[0] / churned[1];
            }
        }
        return all;
    }

  private:
    std::vector<std::unique_ptr<Helper>> members_;
};

// `become` with memory of the process's own: one that all shared would have them wait for each other in the file.
template <class Become>
auto with_memory(Become become) {
    return [become](std::size_t i) -> Worker {
        auto memories = std::make_shared<const Memories>(make_memories({lengths[0], lengths[1]}));
        return [memories, worker = become(i, *memories)](const Order& order) { return worker(order); };
    };
}

void run(uid_t first, std::span<char*> devices) {
    const Echoes none;
    const auto bare_member =
        with_memory([&](std::size_t i, const Memories& memories) { return bare_ioctls(devices[i], memories); });
    const auto least_member =
        with_memory([&](std::size_t i, const Memories& memories) { return asking_for_ioctls(devices[i], memories); });
    const auto our_member = with_memory([&](std::size_t i, const Memories& memories) {
        become_user(first + static_cast<uid_t>(i % accounts), 64 << 10);
        return lease_client("/run/iommud/bus", devices[i], none, memories, reserve);
    });
    struct Figures {
        Rounds ours;
        Rounds checked;
        Rounds least;
        Rounds above_least;
    };
    std::array<Figures, lengths.size()> figures;
    for (std::size_t round = 0; round < rounds; ++round) {
        Throughput bare{};
        Throughput checked{};
        {
            Crowd crowd(devices.size(), bare_member);
            bare = crowd.at_once(Op::churn);
            checked = crowd.at_once(Op::checked_churn);
        }
        const Throughput least = Crowd(devices.size(), least_member).at_once(Op::churn);
        const Throughput ours = Crowd(devices.size(), our_member).at_once(Op::churn);
        for (std::size_t i = 0; i < lengths.size(); ++i) {
            figures[i].ours.add(bare[i], ours[i]);
            figures[i].checked.add(bare[i], checked[i]);
            figures[i].least.add(bare[i], least[i]);
            figures[i].above_least.add(least[i], ours[i]);
        }
    }
    Table table({"Map + Unmap of", "bare processes, in a second", "ours/bare", "target", "bare and checked/bare",
                 "least/bare", "ours/least"});
    for (std::size_t i = 0; i < lengths.size(); ++i) {
        table.row({names[i], fmt::format("{:.0f}", median(figures[i].ours.anchor)), ratio(figures[i].ours), ">= 0.9",
                   ratio(figures[i].checked), ratio(figures[i].least), ratio(figures[i].above_least)});
    }
    table.print(
        fmt::format("Throughput of {} leases of {} accounts at once, against as many bare processes; least: the same "
                    "ioctls by another process that is asked over a socket and checks the memory; medians of {} rounds "
                    "(smallest-largest)",
                    devices.size(), accounts, rounds));
}

}  // namespace
}  // namespace iommud::bench

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fputs("usage: crowd FIRST-UID DEVICE...\n", stderr);
        return 2;
    }
    try {
        iommud::bench::run(static_cast<uid_t>(std::atoi(argv[1])),
                           std::span(argv + 2, static_cast<std::size_t>(argc - 2)));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "crowd: %s\n", error.what());
        return 1;
    }
}
