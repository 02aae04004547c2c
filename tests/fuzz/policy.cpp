// Policy files: whatever loads decides the same with a trace as without.
#include <cstdlib>

#include "policy/evaluate.hpp"
#include "policy/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace iommud;
    const policy::Names names("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
                              "root:x:0:\nvfio:x:107:alice\n", "alice:100000:65536\n");
    const policy::SourceFile file{"fuzz.json", std::string(reinterpret_cast<const char*>(data), size)};
    const auto loaded = policy::load(std::span(&file, 1), names, 8 * GiB);
    if (!loaded) {
        return loaded.error().empty() ? (std::abort(), 0) : 0;
    }
    policy::DeviceFacts device;
    device.address = *PciAddress::parse("0000:00:04.0");
    device.vendor = 0x1234;
    device.device = 0x11e8;
    device.iommu_group = 3;
    const policy::Request request{{device}, {device}, Mode::managed, std::nullopt};
    for (const std::uint32_t uid : {0U, 1000U, 100001U}) {
        policy::Subject subject;
        subject.uid = uid;
        subject.groups = {uid, 107};
        subject.unit = "router.service";
        subject.has_pidfd = true;
        const policy::Decision plain = policy::evaluate(*loaded, subject, request);
        const policy::Decision traced = policy::explain(*loaded, subject, request, policy::TraceScope::all);
        if (plain.allowed != traced.allowed || plain.memory != traced.memory || plain.rule != traced.rule) {
            std::abort();
        }
    }
    return 0;
}
