#include "policy/evaluate.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "policy/trace.hpp"
#include "policy/verdict.hpp"

namespace iommud::policy {

namespace {

struct Judged {
    const Rule* rule = nullptr;
    RuleVerdict outcome;
};

// Whoever asks may ask often: of many rules those that came furthest, in the order of the files. How many went.
std::size_t leave_the_nearest(std::vector<Judged>& judged) {
    constexpr std::size_t most = 32;
    if (judged.size() <= most) {
        return 0;
    }
    const std::size_t left_out = judged.size() - most;
    std::stable_sort(judged.begin(), judged.end(), [](const Judged& left, const Judged& right) {
        return left.outcome.stops_at > right.outcome.stops_at;
    });
    judged.resize(most);
    std::sort(judged.begin(), judged.end(),
              [](const Judged& left, const Judged& right) { return left.rule < right.rule; });  // all of one vector
    return left_out;
}

}  // namespace

Decision evaluate(const Policy& policy, const Subject& subject, const Request& request) {
    const Question question(policy, subject, request);
    Verdict verdict(question);
    for (const std::uint32_t number : rules_about(policy, question.asker, question.asked, question.members)) {
        const Rule& rule = policy.rules[number];
        verdict.add(rule, judge(question, rule));
    }
    return verdict.decide();
}

// Looks at every rule and not only at those that the index names: that the two agree is a property test.
Decision explain(const Policy& policy, const Subject& subject, const Request& request, TraceScope scope) {
    const Question question(policy, subject, request);
    Verdict verdict(question);
    std::vector<Judged> judged;
    for (const Rule& rule : policy.rules) {
        const RuleVerdict outcome = judge(question, rule);
        verdict.add(rule, outcome);
        if (scope == TraceScope::all || outcome.stops_at != Reach::subject) {
            judged.push_back({&rule, outcome});
        }
    }
    const std::size_t left_out = scope == TraceScope::own ? leave_the_nearest(judged) : 0;
    std::vector<TraceEntry> trace;
    trace.reserve(judged.size() + 2);
    for (const Judged& one : judged) {
        trace.push_back(trace_of(question, *one.rule, one.outcome));
    }
    if (left_out > 0) {
        trace.emplace_back().why = fmt::format("and {} more rules about you, further off", left_out);
    }
    trace.push_back(account_trace(question));
    Decision decision = verdict.decide();
    if (decision.allowed) {
        decision.message = grant_text(question, decision);
    }
    decision.trace = std::move(trace);
    return decision;
}

std::string subject_text(const Policy& policy, const Subject& subject) {
    if (!subject.container) {
        return policy.names.user_text(subject.uid);
    }
    return fmt::format("container {} of {}", subject.container->id, policy.names.user_text(bearer_of(subject)));
}

}  // namespace iommud::policy
