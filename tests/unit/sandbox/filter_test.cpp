// The BPF programs against the lists they were made of: a program that libseccomp got wrong, or that is not of this
// build, would let a call through or kill a process that did nothing wrong.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "daemon/sandbox/all_filters.hpp"
#include "daemon/sandbox/seccomp_list.hpp"

namespace iommud::sandbox {
namespace {

std::uint32_t native_architecture() {
    return ::seccomp_arch_native();  // SCMP_ARCH_* are the kernel's AUDIT_ARCH_* values
}

std::uint32_t word_at(const seccomp_data& data, std::uint32_t offset) {
    std::uint32_t word = 0;
    std::memcpy(&word, reinterpret_cast<const std::byte*>(&data) + offset, sizeof word);
    return word;
}

bool jumps(const sock_filter& step, std::uint32_t accumulator) {
    switch (BPF_OP(step.code)) {
        case BPF_JEQ:
            return accumulator == step.k;
        case BPF_JGT:
            return accumulator > step.k;
        case BPF_JGE:
            return accumulator >= step.k;
        default:
            return (accumulator & step.k) != 0;  // BPF_JSET
    }
}

// What the kernel would do: the value of the program's return instruction.
std::uint32_t run(std::span<const sock_filter> program, const seccomp_data& data) {
    std::uint32_t accumulator = 0;
    for (std::size_t at = 0; at < program.size(); ++at) {
        const sock_filter& step = program[at];
        switch (BPF_CLASS(step.code)) {
            case BPF_LD:
                accumulator = word_at(data, step.k);
                break;
            case BPF_ALU:
                EXPECT_EQ(BPF_OP(step.code), BPF_AND);
                accumulator &= step.k;
                break;
            case BPF_JMP:
                at += BPF_OP(step.code) == BPF_JA ? step.k : jumps(step, accumulator) ? step.jt : step.jf;
                break;
            case BPF_RET:
                return step.k;
            default:
                ADD_FAILURE() << "unexpected instruction " << step.code;
                return 0;
        }
    }
    ADD_FAILURE() << "the program does not end";
    return 0;
}

Rules rules_of(std::string_view name) {
    const auto read_list = [](std::string_view list) -> std::optional<std::string> {
        std::ifstream file(std::string(IOMMUD_LISTS "/") + std::string(list) + ".list");
        return file ? std::optional(std::string(std::istreambuf_iterator<char>(file), {})) : std::nullopt;
    };
    return parse_list(name, read_list).value();
}

bool holds(const Alternative& alternative, const seccomp_data& data) {
    return std::all_of(alternative.begin(), alternative.end(), [&data](const Condition& condition) {
        return (data.args[condition.argument] & condition.mask) == condition.value;
    });
}

std::uint32_t expected(const Rules& rules, const std::string& name, const seccomp_data& data) {
    const auto rule = rules.find(name);
    const bool allowed = rule != rules.end() &&
                         std::any_of(rule->second.begin(), rule->second.end(),
                                     [&data](const Alternative& alternative) { return holds(alternative, data); });
    return allowed ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS;
}

// A call that meets one of the alternatives, or, by one bit in every second case, only nearly does.
void meet(const std::set<Alternative>& alternatives, seccomp_data& data, std::mt19937_64& random) {
    const Alternative& alternative =
        *std::next(alternatives.begin(), static_cast<std::ptrdiff_t>(random() % alternatives.size()));
    for (const Condition& condition : alternative) {
        data.args[condition.argument] = condition.value | (random() & ~condition.mask);
    }
    if (random() % 2 == 0) {
        data.args[random() % 6] ^= std::uint64_t{1} << (random() % 64);
    }
}

class Filter : public testing::TestWithParam<NamedFilter> {};

TEST_P(Filter, AllowsWhatItsListAllowsAndKillsForAllElse) {
    const Rules rules = rules_of(GetParam().name);
    std::mt19937_64 random(1);
    std::vector<std::uint64_t> values{0, 1, 2, 4, ~std::uint64_t{0}, 0xffffffff};
    for (const auto& [name, alternatives] : rules) {
        for (const Alternative& alternative : alternatives) {
            for (const Condition& condition : alternative) {
                values.insert(values.end(), {condition.value, condition.value + 1, condition.value | (1ULL << 40)});
            }
        }
    }

    for (int number = 0; number < 480; ++number) {
        char* resolved = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        const std::string name = resolved == nullptr ? "" : resolved;
        std::free(resolved);
        for (int i = 0; i < 2000; ++i) {
            seccomp_data data{number, native_architecture(), 0, {}};
            for (auto& argument : data.args) {
                argument = values[random() % values.size()];
            }
            if (rules.contains(name) && i % 2 == 0) {
                meet(rules.at(name), data, random);
            }
            ASSERT_EQ(run(GetParam().program, data), expected(rules, name, data)) << name << " " << data.args[1];
        }
    }
}

TEST_P(Filter, KillsForCallsOfAnotherArchitecture) {
    const std::uint32_t other = native_architecture() == AUDIT_ARCH_I386 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_I386;

    EXPECT_EQ(run(GetParam().program, seccomp_data{1, other, 0, {}}), SECCOMP_RET_KILL_PROCESS);
}

TEST_P(Filter, KillsForCallsOfTheX32Kind) {
    constexpr int x32 = 0x40000000;

    EXPECT_EQ(run(GetParam().program, seccomp_data{x32 | 1, native_architecture(), 0, {}}), SECCOMP_RET_KILL_PROCESS);
}

std::string name_of(const testing::TestParamInfo<NamedFilter>& list) {
    return list.param.name;
}

INSTANTIATE_TEST_SUITE_P(Lists, Filter, testing::ValuesIn(all_filters), name_of);

// What a child of the vault may do, the vault's own filter must let it do: the kernel asks both.
TEST(VaultFilter, AllowsWhateverAKeeperOrWorkerMay) {
    const Rules vault = rules_of("vault");
    for (const NamedFilter& child : all_filters) {
        if (std::string_view(child.name) == "monitor") {
            continue;  // no child of the vault
        }
        for (const auto& [name, alternatives] : rules_of(child.name)) {
            ASSERT_TRUE(vault.contains(name)) << child.name << ": " << name;
            const bool all = vault.at(name).contains({}) || std::includes(vault.at(name).begin(), vault.at(name).end(),
                                                                          alternatives.begin(), alternatives.end());
            EXPECT_TRUE(all) << child.name << ": " << name;
        }
    }
}

}  // namespace
}  // namespace iommud::sandbox
