// An answer that is a list of texts: as many frames as it needs, the last marked so, and no more than a worker may
// hold.
#pragma once

#include <string>
#include <utility>

#include "daemon/base/bytes.hpp"
#include "daemon/monitor/connection.hpp"

namespace iommud::monitor {

// `Entries` is the member of `Message` that grows: lists of Texts. What else `head` says stands in every frame.
template <class Message, auto Entries>
class Pages {
  public:
    static constexpr std::size_t most_bytes = 4 * MiB;

    // Outlives this: `connection`.
    Pages(Connection& connection, Message head) : connection_(connection), page_(std::move(head)) {
        page_.last = false;
    }

    // False: the answer is as long as it may be. Texts too long for a frame are cut.
    [[nodiscard]] bool add(ipc::Texts entry) {
        const std::size_t size = fit(entry);
        if (sent_bytes_ + page_bytes_ + size > most_bytes) {
            return false;
        }
        append(std::move(entry), size);
        return true;
    }
    // The last entry, which is always taken, when the answer was too long.
    void add_last(ipc::Texts entry) {
        const std::size_t size = fit(entry);
        append(std::move(entry), size);
    }
    void finish() {
        page_.last = true;
        connection_.send(page_);
    }

  private:
    static std::size_t fit(ipc::Texts& entry) {
        constexpr std::string_view more = "…";
        constexpr std::size_t longest = ipc::max_string - more.size();
        std::size_t size = 8;
        for (auto& [key, value] : entry) {
            if (value.size() > ipc::max_string) {
                std::size_t end = longest;
                while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0U) == 0x80) {
                    --end;  // not in the middle of a character
                }
                value.resize(end);
                value += more;
            }
            size += key.size() + value.size() + 8;
        }
        return size;
    }
    void append(ipc::Texts entry, std::size_t size) {
        if (page_bytes_ + size > ipc::max_frame / 2) {
            connection_.send(page_);
            (page_.*Entries).clear();
            sent_bytes_ += page_bytes_;
            page_bytes_ = 0;
        }
        page_bytes_ += size;
        (page_.*Entries).push_back(std::move(entry));
    }

    Connection& connection_;
    Message page_;
    std::size_t page_bytes_ = 0;
    std::size_t sent_bytes_ = 0;
};

}  // namespace iommud::monitor
