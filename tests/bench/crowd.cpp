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

void run(uid_t first, std::span<char*> devices) {
    const Echoes none;
    const Memories memories = make_memories({lengths[0], lengths[1]});
    std::array<Rounds, lengths.size()> figures;
    std::array<Rounds, lengths.size()> above_least;
    for (std::size_t round = 0; round < rounds; ++round) {
        Throughput bare{};
        Throughput checked{};
        {
            Crowd crowd(devices.size(), [&](std::size_t i) { return bare_ioctls(devices[i], memories); });
            bare = crowd.at_once(Op::churn);
            checked = crowd.at_once(Op::checked_churn);
        }
        const Throughput ours = Crowd(devices.size(), [&](std::size_t i) {
                                    become_user(first + static_cast<uid_t>(i % accounts), 64 << 10);
                                    return lease_client("/run/iommud/bus", devices[i], none, memories, reserve);
                                }).at_once(Op::churn);
        for (std::size_t i = 0; i < lengths.size(); ++i) {
            figures[i].add(bare[i], ours[i]);
            above_least[i].add(checked[i], ours[i]);
        }
    }
    Table table(
        {"Map + Unmap of", "bare processes, in a second", "ours/bare", "target", "ours/(bare + check of pages)"});
    for (std::size_t i = 0; i < lengths.size(); ++i) {
        table.row({names[i], fmt::format("{:.0f}", median(figures[i].anchor)), ratio(figures[i]), ">= 0.9",
                   ratio(above_least[i])});
    }
    table.print(
        fmt::format("Throughput of {} leases of {} accounts at once, against as many bare processes; medians of "
                    "{} rounds (smallest-largest)",
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
