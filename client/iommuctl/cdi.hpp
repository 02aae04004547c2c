// The Container Device Interface's view of our devices: a file that engines (podman, CRI-O, containerd, Docker) read,
// so that `--device iommud.org/device=ADDRESS` gives a container an endpoint. Pure. Specification: version 0.5.0, the
// lowest in which a device's name may begin with a digit; older engines refuse what they do not know.
#pragma once

#include <string>

#include "client/iommuctl/values.hpp"

namespace iommud::ctl {

// `devices`: as in all_objects(), of which those count that are on a VFIO driver. `hook`: the hook's absolute path.
// Each device brings a variable, by which the hook knows it; the hook comes once, whatever their number. No device node
// does.
[[nodiscard]] json cdi_spec(const json& devices, const std::string& hook);

// "iommud.org/device=0000:00:04.0" of each device in a file that cdi_spec() made; none for any other.
[[nodiscard]] std::vector<std::string> cdi_names(const json& spec);

}  // namespace iommud::ctl
