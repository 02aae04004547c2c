#include "policy/evaluate.hpp"

#include "policy/trace.hpp"
#include "policy/verdict.hpp"

namespace iommud::policy {

Decision evaluate(const Policy& policy, const Subject& subject, const Request& request) {
    const Question question(policy, subject, request);
    Verdict verdict(question);
    for (const std::uint32_t number : rules_about(policy, question.asker, {question.asked, question.members})) {
        const Rule& rule = policy.rules[number];
        verdict.add(rule, judge(question, rule));
    }
    return verdict.decide();
}

// Looks at every rule and not only at those that the index names: that the two agree is a property test.
Decision explain(const Policy& policy, const Subject& subject, const Request& request, TraceScope scope) {
    const Question question(policy, subject, request);
    Verdict verdict(question);
    std::vector<TraceEntry> trace;
    for (const Rule& rule : policy.rules) {
        const RuleVerdict outcome = judge(question, rule);
        verdict.add(rule, outcome);
        if (scope == TraceScope::all || outcome.stops_at != Reach::subject) {
            trace.push_back(trace_of(question, rule, outcome));
        }
    }
    trace.push_back(account_trace(question));
    Decision decision = verdict.decide();
    decision.trace = std::move(trace);
    return decision;
}

std::string subject_text(const Policy& policy, const Subject& subject) {
    const std::string user = policy.names.user_text(subject.uid);
    return subject.container ? user + " of container " + subject.container->id : user;
}

}  // namespace iommud::policy
