// <run>/endpoints: a folder with a socket for each container. Containers have the folder, not the socket, mounted.
#pragma once

#include <string>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::monitor {

class EndpointFolder {
  public:
    explicit EndpointFolder(const std::string& run) : path_(run + "/endpoints") {}

    [[nodiscard]] std::string path_of(const std::string& id) const { return path_ + "/" + id; }

    // A listening socket at path_of(id)/bus, in place of whatever was there, for everybody to connect to: who may, is
    // asked of each connection.
    [[nodiscard]] Result<UniqueFd> make(const std::string& id) const;
    void remove(const std::string& id) const;

    // The names in it. Empty when it cannot be read.
    [[nodiscard]] std::vector<std::string> list() const;

  private:
    std::string path_;
};

}  // namespace iommud::monitor
