// Policy alone: what a decision takes, and what loading takes, by number of rules. In one process, without the daemon.
#include <fmt/format.h>
#include <fnmatch.h>

#include <cstdio>
#include <ctime>
#include <exception>
#include <nlohmann/json.hpp>
#include <random>
#include <unordered_map>

#include "policy/evaluate.hpp"
#include "policy/load.hpp"
#include "tests/bench/table.hpp"

namespace {

using namespace iommud;
using namespace iommud::bench;

constexpr std::size_t rounds = 21;
constexpr std::size_t decisions = 2000;  // a round
constexpr std::size_t devices = 1000;
constexpr std::uint32_t first_uid = 10000;

// Whom the rules are about.
enum class Shape {
    one_user_each,      // a rule for each user
    one_user_all,       // every rule for the one who asks, each with another address
    one_user_patterns,  // the same, with globs and vendor, device and class
};

struct Question {
    policy::Subject subject;
    policy::Request request;
};

struct Case {
    std::vector<policy::SourceFile> files;
    std::vector<Question> questions;
    std::unordered_map<std::uint32_t, std::string> globs;  // for the anchor: the one rule of each who asks
};

// Of this process: nothing here waits, and what others do beside it is not ours.
double processor_time() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::string address(std::size_t device) {
    return fmt::format("0000:{:02x}:{:02x}.{:x}", device / 256, device / 8 % 32, device % 8);
}

policy::DeviceFacts facts(std::size_t device) {
    return {.address = *PciAddress::parse(address(device)),
            .vendor = static_cast<std::uint16_t>(0x1000 + device % 16),
            .device = static_cast<std::uint16_t>(device),
            .subsystem_vendor = std::uint16_t{0x1af4},
            .subsystem_device = std::uint16_t{0x1100},
            .class_code = 0x020000U,
            .iommu_group = static_cast<int>(device),
            .path = "00:1c.4/00.0",
            .slot = "",
            .driver = "vfio-pci",
            .serial = ""};
}

std::string device_pattern(Shape shape, std::size_t rule) {
    const std::size_t device = rule % devices;
    if (shape != Shape::one_user_patterns || rule % 3 == 0) {
        return shape == Shape::one_user_patterns
                   ? fmt::format(R"({{"address": "0000:{:02x}:{:02x}.*"}})", device / 256, device / 8 % 32)
                   : fmt::format(R"({{"address": "{}"}})", address(device));
    }
    return fmt::format(R"({{"vendor": "{:04x}", "device": "{:04x}", "class": "02"}})", 0x1000 + device % 16, device);
}

std::string user_name(Shape shape, std::size_t rule) {
    return fmt::format("user{}", shape == Shape::one_user_each ? rule : 0);
}

Case make_case(Shape shape, std::size_t rules) {
    constexpr std::size_t rules_per_file = 2500;  // a file has 1 MiB at most
    Case made;
    for (std::size_t begin = 0; begin < rules; begin += rules_per_file) {
        std::string text = "{\n  \"version\": 1,\n";
        if (begin == 0) {
            text += "  \"accounts\": [ { \"match\": { \"uids\": \"10000-59999\" }, \"memory\": \"8GiB\" } ],\n";
        }
        text += "  \"rules\": [\n";
        for (std::size_t rule = begin; rule < std::min(rules, begin + rules_per_file); ++rule) {
            text += fmt::format(
                "{}    {{ \"id\": \"rule-{}\", \"effect\": \"allow\",\n"
                "      \"subjects\": [ {{ \"user\": \"{}\" }} ],\n      \"devices\": [ {} ],\n"
                "      \"modes\": [ \"managed\" ], \"memory\": \"1GiB\" }}",
                rule == begin ? "" : ",\n", rule, user_name(shape, rule), device_pattern(shape, rule));
        }
        made.files.push_back({fmt::format("{:02}.json", begin / rules_per_file), text + "\n  ]\n}\n"});
    }
    std::mt19937 dice(1);  // the same questions in every run
    for (std::size_t i = 0; i < 1000; ++i) {
        const std::size_t rule = dice() % rules;
        policy::Subject subject;
        subject.uid = static_cast<std::uint32_t>(first_uid + (shape == Shape::one_user_each ? rule : 0));
        subject.groups = {subject.uid, 100};
        subject.unit = "session-1.scope";
        subject.has_pidfd = true;
        const policy::DeviceFacts device = facts(rule % devices);
        made.globs.emplace(subject.uid, address(rule % devices));
        made.questions.push_back({subject, {{device}, {device}, Mode::managed, 64 * MiB}});
    }
    return made;
}

policy::Names names(std::size_t users) {
    std::string passwd = "root:x:0:0:root:/root:/bin/sh\n";
    for (std::size_t i = 0; i < users; ++i) {
        passwd += fmt::format("user{}:x:{}:100::/home/user{}:/bin/sh\n", i, first_uid + i, i);
    }
    return policy::Names(passwd, "root:x:0:\nusers:x:100:\n", "");
}

double time_decisions(const policy::Policy& policy, const Case& asked) {
    const double start = processor_time();
    for (std::size_t i = 0; i < decisions; ++i) {
        const Question& question = asked.questions[i % asked.questions.size()];
        if (!policy::evaluate(policy, question.subject, question.request).allowed) {
            throw std::runtime_error("a request that a rule allows was refused");
        }
    }
    return (processor_time() - start) / decisions;
}

// By hand, and without any of what a policy means: find the caller's one rule, match its pattern.
double time_by_hand(const Case& asked) {
    std::size_t matched = 0;
    const double start = processor_time();
    for (std::size_t i = 0; i < decisions; ++i) {
        const Question& question = asked.questions[i % asked.questions.size()];
        const auto rule = asked.globs.find(question.subject.uid);
        const std::string text = question.request.asked[0].address.text();
        matched += rule != asked.globs.end() && ::fnmatch(rule->second.c_str(), text.c_str(), 0) == 0 ? 1 : 0;
    }
    const double taken = (processor_time() - start) / decisions;
    if (matched == 0) {
        throw std::runtime_error("the anchor matched nothing");
    }
    return taken;
}

policy::Policy load(const Case& asked, const policy::Names& known) {
    auto loaded = policy::load(asked.files, known, 64 * GiB);
    if (!loaded) {
        throw std::runtime_error(loaded.error().front().text());
    }
    return std::move(*loaded);
}

void measure_decisions(const policy::Names& known) {
    const std::pair<Shape, const char*> shapes[] = {
        {Shape::one_user_each, "a rule for each of as many users"},
        {Shape::one_user_all, "all for the one who asks, by address"},
        {Shape::one_user_patterns, "all for the one who asks, by patterns"},
    };
    Table table({"rules", "", "look-up + glob by hand", "a decision", "ours/anchor", "target at 1,000"});
    for (const auto& [shape, what] : shapes) {
        for (const std::size_t rules : {std::size_t{10}, std::size_t{1000}, std::size_t{10000}}) {
            const Case asked = make_case(shape, rules);
            const policy::Policy policy = load(asked, known);
            Rounds times;
            for (std::size_t round = 0; round <= rounds; ++round) {
                const double anchor = time_by_hand(asked);
                const double ours = time_decisions(policy, asked);
                if (round > 0) {  // the first fills caches
                    times.add(anchor, ours);
                }
            }
            table.row({fmt::format("{}", rules), what, fmt::format("{:.0f} ns", median(times.anchor) * 1e9),
                       fmt::format("{:.2f} us", median(times.ours) * 1e6), ratio(times),
                       rules == 1000 ? "<= 5 us" : ""});
        }
    }
    table.print(fmt::format("A decision among {} devices; medians of {} rounds of {} (smallest-largest)", devices,
                            rounds, decisions));
}

void measure_loading(const policy::Names& known) {
    Table table({"rules", "bytes", "nlohmann::json::parse", "load", "ours/anchor", "target"});
    for (const std::size_t rules : {std::size_t{10}, std::size_t{1000}, std::size_t{10000}}) {
        const Case asked = make_case(Shape::one_user_each, rules);
        std::size_t bytes = 0;
        for (const policy::SourceFile& file : asked.files) {
            bytes += file.text.size();
        }
        Rounds times;
        for (std::size_t round = 0; round <= rounds; ++round) {
            double start = processor_time();
            std::size_t parsed = 0;
            for (const policy::SourceFile& file : asked.files) {
                parsed += nlohmann::json::parse(file.text).at("rules").size();
            }
            const double anchor = (processor_time() - start);
            start = processor_time();
            const policy::Policy policy = load(asked, known);
            const double ours = (processor_time() - start);
            if (parsed != rules || policy.rules.size() != rules) {
                throw std::runtime_error("not every rule was loaded");
            }
            if (round > 0) {
                times.add(anchor, ours);
            }
        }
        table.row({fmt::format("{}", rules), fmt::format("{}", bytes), duration(median(times.anchor)),
                   duration(median(times.ours)), ratio(times), rules == 10000 ? "<= 200 ms" : ""});
    }
    table.print(fmt::format("Loading; medians of {} rounds (smallest-largest)", rounds));
}

}  // namespace

int main() {
    try {
        const policy::Names known = names(10000);
        measure_decisions(known);
        measure_loading(known);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "policy: %s\n", error.what());
        return 1;
    }
}
