#include "daemon/worker/explain_cache.hpp"

#include <utility>

namespace iommud::worker {
namespace {

std::size_t text_bytes(const ipc::ExplainEntries& answer) {
    std::size_t bytes = answer.decision.size();
    for (const ipc::Texts& entry : answer.trace) {
        for (const auto& [name, value] : entry) {
            bytes += name.size() + value.size();
        }
    }
    return bytes;
}

bool same(const ipc::ExplainRequest& left, const ipc::ExplainRequest& right) {
    return left.devices == right.devices && left.memory == right.memory && left.mode == right.mode &&
           left.user == right.user;
}

}  // namespace

const ipc::ExplainEntries* ExplainCache::find(const ipc::ExplainRequest& question) const {
    for (const Answer& answer : answers_) {
        if (same(answer.question, question)) {
            return &answer.entries;
        }
    }
    return nullptr;
}

void ExplainCache::keep(ipc::ExplainRequest question, ipc::ExplainEntries answer) {
    if (text_bytes(answer) > most_bytes || find(question) != nullptr) {
        return;  // or it was asked twice before it was answered once
    }
    if (answers_.size() < most_answers) {
        answers_.push_back({std::move(question), std::move(answer)});
        return;
    }
    answers_[oldest_] = {std::move(question), std::move(answer)};
    oldest_ = (oldest_ + 1) % most_answers;
}

}  // namespace iommud::worker
