// Names of devices from systemd's hardware database, for people to read.
#pragma once

#include <memory>
#include <string>

#include "daemon/inventory/device.hpp"

struct sd_hwdb;

namespace iommud {

// Copies share one open database. Open it before any sandbox: the file is mapped once, and a look-up opens nothing.
class HwdbNames {
  public:
    // Without a database every name is empty.
    HwdbNames();

    // "Intel Corporation 82574L Gigabit Network Connection", the model alone or the vendor alone when the other is not
    // known, empty when neither is. At most 255 bytes.
    [[nodiscard]] std::string operator()(const Device& device) const;

  private:
    std::shared_ptr<sd_hwdb> database_;
};

}  // namespace iommud
