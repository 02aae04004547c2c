// A rule's part in a decision, in words.
#pragma once

#include "policy/verdict.hpp"

namespace iommud::policy {

[[nodiscard]] TraceEntry trace_of(const Question& question, const Rule& rule, const RuleVerdict& outcome);
[[nodiscard]] TraceEntry account_trace(const Question& question);

}  // namespace iommud::policy
