// The ledger against the simplest thing that could be right: lists of leases, summed up in 128 bits. Ten million random
// operations; IOMMUD_PROPERTY_OPERATIONS asks for another number.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#include "daemon/base/bytes.hpp"
#include "daemon/ledger/ledger.hpp"

namespace iommud {
namespace {

using Wide = unsigned __int128;
constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t account_count = 1000;

struct Lease {
    Charge charge;
    Wide memory = 0;
    Wide mapped = 0;
    Wide devices = 0;
    bool direct = false;
};

struct Sums {
    Wide memory = 0, direct = 0, mapped = 0, leases = 0, devices = 0;
};

struct Account {
    std::uint32_t uid = 0;
    Limits limits{};
    std::vector<Lease> leases;

    [[nodiscard]] Sums sums() const {
        Sums all;
        for (const Lease& lease : leases) {
            all.memory += lease.memory;
            all.direct += lease.direct ? lease.memory : 0;
            all.mapped += lease.mapped;
            all.leases += 1;
            all.devices += lease.devices;
        }
        return all;
    }
};

Wide in_pages(std::uint64_t bytes) {
    return (Wide{bytes} + page_size - 1) / page_size * page_size;
}

class World {
  public:
    explicit World(std::uint64_t seed) : random_(seed) {
        for (std::uint32_t i = 0; i < account_count; ++i) {
            accounts_[i].uid = i * 4'294'967;  // spread over all uids
            accounts_[i].limits = some_limits();
        }
    }
    ~World() = default;
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    // One random operation on a random account; false when ledger and model differ after it.
    bool step() {
        Account& account = accounts_[random_() % account_count];
        bool agreed = false;
        switch (random_() % 16) {
            case 0:
                account.limits = some_limits();
                ledger_.set_limits(account.uid, account.limits);
                agreed = true;
                break;
            case 1:
                host_limit_ = random_() % 4 == 0 ? some_bytes() : most;
                ledger_.set_host_memory(host_limit_);
                agreed = true;
                break;
            case 2:
                agreed = charge_existing(account);
                break;
            case 3:
            case 4:
                agreed = extend(account);
                break;
            case 5:
                agreed = withdraw(account);
                break;
            case 6:
            case 7:
            case 8:
                agreed = map(account);
                break;
            case 9:
            case 10:
            case 11:
                agreed = release(account);
                break;
            default:
                agreed = charge(account);
                break;
        }
        return agreed && same(account) && same_host();
    }

    bool same_everywhere() {
        Sums all;
        std::size_t holding = 0;
        for (const Account& account : accounts_) {
            const Sums sums = account.sums();
            all.memory += sums.memory;
            all.mapped += sums.mapped;
            all.leases += sums.leases;
            all.devices += sums.devices;
            holding += account.leases.empty() ? 0 : 1;
            if (!same(account)) {
                return false;
            }
        }
        return ledger_.figures().size() == holding && all.memory == host_.memory && all.mapped == host_.mapped &&
               all.leases == host_.leases && all.devices == host_.devices && same_host();
    }

    void release_everything() {
        for (Account& account : accounts_) {
            account.leases.clear();
        }
        host_ = {};
    }

    [[nodiscard]] const Ledger& ledger() const { return ledger_; }
    [[nodiscard]] std::uint64_t refused() const { return refused_; }
    [[nodiscard]] std::uint64_t given() const { return given_; }

  private:
    // Small, page-sized, large, and around 2^64.
    std::uint64_t some_bytes() {
        switch (random_() % 8) {
            case 0:
                return most - random_() % (3 * page_size);
            case 1:
                return random_();
            case 2:
                return random_() % 4 * page_size;
            case 3:
                return (std::uint64_t{1} << random_() % 64) - random_() % 2;
            default:
                return random_() % (64 * MiB);
        }
    }
    std::uint32_t some_count() {
        return random_() % 64 == 0
                   ? std::numeric_limits<std::uint32_t>::max() - static_cast<std::uint32_t>(random_() % 3)
                   : static_cast<std::uint32_t>(random_() % 6);
    }
    Limits some_limits() { return {some_bytes(), static_cast<std::uint32_t>(random_() % 12), some_count()}; }
    Claim some_claim() { return {some_bytes(), some_count(), random_() % 8 == 0}; }

    void add(Account& account, Charge charge, const Claim& claim) {
        Lease lease{std::move(charge), in_pages(claim.memory), 0, claim.devices, claim.direct};
        host_.memory += lease.memory;
        host_.leases += 1;
        host_.devices += lease.devices;
        account.leases.push_back(std::move(lease));
        ++given_;
    }

    bool charge(Account& account) {
        const Claim claim = some_claim();
        const Sums held = account.sums();
        const bool memory = held.memory + in_pages(claim.memory) <= account.limits.memory;
        const bool lease = held.leases + 1 <= account.limits.leases;
        const bool devices = held.devices + claim.devices <= account.limits.devices;
        const bool host = host_.memory + in_pages(claim.memory) <= host_limit_;
        const bool expected = memory && lease && devices && host;

        auto charge = ledger_.charge(account.uid, account.limits, claim);

        if (!charge) {
            ++refused_;
            const ErrorCode code = !memory    ? ErrorCode::memory_limit
                                   : !lease   ? ErrorCode::lease_limit
                                   : !devices ? ErrorCode::device_limit
                                              : ErrorCode::memory_limit;
            return !expected && charge.error().code == code;
        }
        add(account, std::move(*charge), claim);
        return expected;
    }

    bool charge_existing(Account& account) {
        const Claim claim = some_claim();
        const Sums held = account.sums();
        const bool countable = host_.memory + in_pages(claim.memory) <= most &&
                               held.devices + claim.devices <= std::numeric_limits<std::uint32_t>::max();
        if (account.leases.size() >= 12) {
            return true;
        }

        auto charge = ledger_.charge_existing(account.uid, account.limits, claim);

        if (!charge) {
            return !countable;
        }
        add(account, std::move(*charge), claim);
        return countable;
    }

    Lease* some_lease(Account& account) {
        return account.leases.empty() ? nullptr : &account.leases[random_() % account.leases.size()];
    }

    bool extend(Account& account) {
        Lease* lease = some_lease(account);
        if (lease == nullptr) {
            return true;
        }
        const std::uint32_t more = some_count();
        const bool expected = account.sums().devices + more <= account.limits.devices;

        const bool done = lease->charge.extend(more).has_value();

        lease->devices += done ? more : 0;
        host_.devices += done ? more : 0;
        return done == expected;
    }

    bool withdraw(Account& account) {
        Lease* lease = some_lease(account);
        if (lease == nullptr) {
            return true;
        }
        const std::uint32_t less = some_count();
        const Wide back = lease->devices < less ? lease->devices : less;

        lease->charge.withdraw(less);

        lease->devices -= back;
        host_.devices -= back;
        return lease->charge.devices() == lease->devices;
    }

    bool map(Account& account) {
        Lease* lease = some_lease(account);
        if (lease == nullptr) {
            return true;
        }
        const std::uint64_t bytes = random_() % 2 == 0 ? some_bytes() : lease->charge.memory() - random_() % page_size;
        const bool expected = lease->direct ? bytes == 0 : in_pages(bytes) <= lease->memory;

        const bool done = lease->charge.set_mapped(bytes).has_value();

        if (done) {
            host_.mapped += in_pages(bytes) - lease->mapped;
            lease->mapped = in_pages(bytes);
        }
        return done == expected;
    }

    bool release(Account& account) {
        Lease* lease = some_lease(account);
        if (lease == nullptr) {
            return true;
        }
        host_.memory -= lease->memory;
        host_.mapped -= lease->mapped;
        host_.leases -= 1;
        host_.devices -= lease->devices;
        std::swap(*lease, account.leases.back());
        account.leases.pop_back();
        return true;
    }

    [[nodiscard]] bool same(const Account& account) const {
        const AccountFigures figures = ledger_.figures(account.uid);
        const Sums sums = account.sums();
        return figures.uid == account.uid && figures.reserved == sums.memory &&
               figures.direct_reserved == sums.direct && figures.mapped == sums.mapped &&
               figures.leases == sums.leases && figures.devices == sums.devices &&
               figures.limits == (account.leases.empty() ? Limits{} : account.limits);
    }

    [[nodiscard]] bool same_host() const {
        const HostFigures& figures = ledger_.host();
        return figures.memory == host_limit_ && figures.reserved == host_.memory && figures.mapped == host_.mapped &&
               figures.leases == host_.leases && figures.devices == host_.devices;
    }

    std::mt19937_64 random_;
    std::uint64_t host_limit_ = most;
    Ledger ledger_{most};  // outlives the charges in accounts_
    std::array<Account, account_count> accounts_;
    Sums host_;
    std::uint64_t refused_ = 0;
    std::uint64_t given_ = 0;
};

std::uint64_t operations() {
    const char* asked = std::getenv("IOMMUD_PROPERTY_OPERATIONS");  // NOLINT(concurrency-mt-unsafe): one thread
    const auto number = asked == nullptr ? std::optional<std::uint64_t>(10'000'000) : parse_bytes(asked);
    return number.value_or(0);
}

TEST(LedgerProperty, AgreesWithTheModelAtEveryStepAndIsZeroAtTheEnd) {
    const std::uint64_t steps = operations();
    ASSERT_GT(steps, 0U) << "IOMMUD_PROPERTY_OPERATIONS is no number";
    const auto world = std::make_unique<World>(20221);

    for (std::uint64_t step = 0; step < steps; ++step) {
        ASSERT_TRUE(world->step()) << "after step " << step;
        if (step % 65536 == 0) {
            ASSERT_TRUE(world->same_everywhere()) << "after step " << step;
        }
    }
    EXPECT_TRUE(world->same_everywhere());
    // The mix was one: leases were given and refused.
    EXPECT_GT(world->given(), steps / 20);
    EXPECT_GT(world->refused(), steps / 20);

    world->release_everything();

    EXPECT_TRUE(world->ledger().balanced());
    EXPECT_TRUE(world->ledger().figures().empty());
}

}  // namespace
}  // namespace iommud
