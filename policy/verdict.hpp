// What one rule says of one request, and all that rules say together: the inside of evaluate() and explain().
#pragma once

#include "policy/evaluate.hpp"
#include "policy/match.hpp"

namespace iommud::policy {

// A request with what is the same for all rules.
struct Question {
    Question(const Policy& policy, const Subject& subject, const Request& request);
    const Policy& policy;
    const Request& request;
    Asker asker;
    std::vector<DeviceText> asked;
    std::vector<DeviceText> members;      // of the devices' IOMMU groups, besides those asked for
    std::optional<std::uint64_t> memory;  // asked for, in whole pages as the kernel charges
    [[nodiscard]] std::string who() const;
    [[nodiscard]] std::string devices() const;  // "0000:00:04.0 and 0000:00:06.0"
};

// How far a rule goes along with a request; later is further. An allow covers the request when it is `matches`.
enum class Reach : std::uint8_t { subject, devices, mode, memory, matches };

struct RuleVerdict {
    Reach stops_at = Reach::subject;
    const DeviceText* device = nullptr;  // of a deny: the one denied; of an allow: the first it does not cover
};

[[nodiscard]] RuleVerdict judge(const Question& question, const Rule& rule);

// A grant in words.
[[nodiscard]] std::string grant_text(const Question& question, const Decision& grant);

// Sums up the rules, given in any order.
class Verdict {
  public:
    explicit Verdict(const Question& question) : question_(question), coverable_(question.asked.size(), false) {}
    void add(const Rule& rule, const RuleVerdict& verdict);
    // What they say together, accounts and limits included.
    [[nodiscard]] Decision decide() const;

  private:
    [[nodiscard]] Decision refusal() const;
    [[nodiscard]] Decision grant() const;
    [[nodiscard]] Decision strictest() const;
    [[nodiscard]] Decision devices_refusal() const;

    const Question& question_;
    const Rule* deny_ = nullptr;
    const DeviceText* denied_ = nullptr;
    std::vector<const Rule*> covering_;
    std::vector<bool> coverable_;         // by some allow rule, for each device asked for
    ModeSet modes_ = 0;                   // that rules for all the devices give
    const Rule* for_the_host_ = nullptr;  // would cover a container's request if it named an endpoint
    const Rule* most_memory_ = nullptr;   // of those that cover all but the memory
};

}  // namespace iommud::policy
