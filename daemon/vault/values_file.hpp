// What the monitor has the vault hold, and is a value alone, outlives the vault too: RUN/held. Who had a device unbound
// (C5), or has had one that cannot be reset, is not to be forgotten because a process has died.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/ipc/codec.hpp"

namespace iommud::vault {

using Values = std::map<std::string, ipc::Bytes>;

// Lines of two words in hexadecimal: name and value, or a name alone that is held no more; the last line of a name
// counts. Refuses anything else.
[[nodiscard]] Result<Values> parse_values(std::string_view text);

class ValuesFile {
  public:
    // Opens or makes the file, which must be a regular file of ours that nobody else may write. Throws Fatal. A last
    // line that was cut off is passed over.
    explicit ValuesFile(const std::string& path);

    [[nodiscard]] const Values& all() const { return values_; }
    // In the file before they return: as one line more, or, when it has grown long, as a file that takes its place.
    // Fail when it cannot be written: then the next one that succeeds writes this one, too. Fails without a change when
    // it would be more than the file has room for.
    [[nodiscard]] Result<void> hold(const std::string& name, const ipc::Bytes& value);
    [[nodiscard]] Result<void> unhold(const std::string& name);

  private:
    [[nodiscard]] Result<void> append(const std::string& line);
    [[nodiscard]] Result<void> write_anew();

    std::string path_;
    UniqueFd file_;
    std::uint64_t size_ = 0;  // of the file
    std::uint64_t live_ = 0;  // of it, when written anew
    bool behind_ = false;     // it does not have all that it should, or ends in half a line
    Values values_;
};

}  // namespace iommud::vault
