// Answers to Explain that hold until the monitor says otherwise, as an enforcer of SELinux keeps the server's decisions
// in its access vector cache: who asks the same again takes none of the time of the monitor, which all share.
#pragma once

#include <cstddef>
#include <vector>

#include "daemon/base/bytes.hpp"
#include "daemon/ipc/worker_messages.hpp"

namespace iommud::worker {

class ExplainCache {
  public:
    static constexpr std::size_t most_answers = 16;
    static constexpr std::size_t most_bytes = 16 * KiB;  // of one answer's texts: a longer one is not kept

    // Null: not known. What is found is there until keep() or forget(). Cookies do not count.
    [[nodiscard]] const ipc::ExplainEntries* find(const ipc::ExplainRequest& question) const;
    // Of more answers than `most_answers` the oldest goes.
    void keep(ipc::ExplainRequest question, ipc::ExplainEntries answer);
    void forget() {
        answers_.clear();
        oldest_ = 0;
    }

  private:
    struct Answer {
        ipc::ExplainRequest question;
        ipc::ExplainEntries entries;
    };
    std::vector<Answer> answers_;
    std::size_t oldest_ = 0;  // once there are most_answers
};

}  // namespace iommud::worker
