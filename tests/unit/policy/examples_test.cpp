// policy/examples: each loads on the machine it is for, without a warning, and does what it promises.
#include <fstream>
#include <sstream>

#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

Names their_machine() {
    return Names(
        "vpp:x:990:990::\ndeveloper:x:1000:100::\nlibvirt-qemu:x:64055:108::\ndesktop:x:1001:100::\n"
        "ci-admin:x:1002:100::\ntenant-a:x:2001:100::\ntenant-b:x:2002:100::\n",
        "users:x:100:\ndpdk:x:200:developer\nkvm:x:108:desktop\n", "tenant-a:1000000:65536\ntenant-b:1065536:65536\n");
}

Policy example(const std::string& name) {
    std::ifstream stream(std::string(IOMMUD_SOURCE_DIR "/policy/examples/") + name);
    std::ostringstream text;
    text << stream.rdbuf();
    const SourceFile file{name, text.str()};
    auto policy = load(std::span(&file, 1), their_machine(), host_total);
    const Diagnostics said = policy ? policy->warnings : policy.error();
    if (!said.empty()) {
        throw std::runtime_error(said.front().text());
    }
    return std::move(*policy);
}

DeviceFacts device(std::string_view address, std::uint16_t vendor, std::uint16_t id, std::uint32_t class_code,
                   const char* path = "00:02.0", const char* slot = "") {
    return {.address = PciAddress::parse(address).value(),
            .vendor = vendor,
            .device = id,
            .subsystem_vendor = vendor,
            .subsystem_device = id,
            .class_code = class_code,
            .iommu_group = 1,
            .path = path,
            .slot = slot,
            .driver = "vfio-pci",
            .serial = ""};
}

bool allowed(const Policy& policy, const Subject& subject, const DeviceFacts& facts, Mode mode = Mode::managed) {
    return evaluate(policy, subject, ask({facts}, mode)).allowed;
}

TEST(Example, DpdkHostGivesVppItsPortsAndNobodyTheManagementPort) {
    const Policy policy = example("dpdk-host.json");
    const DeviceFacts port = device("0000:81:00.0", 0x8086, 0x1583, 0x020000, "16:02.0/00.0");
    const DeviceFacts management = device("0000:01:00.0", 0x8086, 0x1521, 0x020000, "00:1c.0/00.0");

    EXPECT_TRUE(allowed(policy, in_unit(990, "vpp.service"), port, Mode::legacy));
    EXPECT_FALSE(allowed(policy, in_unit(990, "session-1.scope"), port));
    EXPECT_FALSE(allowed(policy, in_unit(990, "vpp.service"), management));
    EXPECT_TRUE(allowed(policy, user(1000, {200}), port));
    EXPECT_FALSE(allowed(policy, user(1000, {200}), port, Mode::legacy));
}

TEST(Example, VmHostGivesVmsGpusButNotTheHostsOwn) {
    const Policy policy = example("vm-host.json");
    const DeviceFacts host_gpu = device("0000:09:00.0", 0x10de, 0x2204, 0x030000, "00:01.1/00.0");
    const DeviceFacts second_gpu = device("0000:0a:00.0", 0x10de, 0x2204, 0x030000, "00:03.1/00.0");
    const DeviceFacts host_disk = device("0000:04:00.0", 0x144d, 0xa80a, 0x010802, "00:01.2/00.0", "M2_1");
    const DeviceFacts disk = device("0000:06:00.0", 0x144d, 0xa80a, 0x010802, "00:01.3/00.0", "M2_2");
    const DeviceFacts network = device("0000:05:00.0", 0x8086, 0x1521, 0x020000);

    EXPECT_TRUE(allowed(policy, user(64055), second_gpu, Mode::direct));
    EXPECT_FALSE(allowed(policy, user(64055), host_gpu, Mode::direct));
    EXPECT_FALSE(allowed(policy, user(64055), network));
    EXPECT_TRUE(allowed(policy, user(64055), disk));
    EXPECT_FALSE(allowed(policy, user(64055), host_disk));
    EXPECT_TRUE(allowed(policy, user(1001, {108}), second_gpu, Mode::direct));
    EXPECT_FALSE(allowed(policy, user(1001, {100}), second_gpu, Mode::direct));
}

TEST(Example, DriverCiGivesJobsTestCardsAndNoStorage) {
    const Policy policy = example("driver-ci.json");
    const DeviceFacts edu = device("0000:00:04.0", 0x1234, 0x11e8, 0x00ff00);
    const DeviceFacts storage = device("0000:00:05.0", 0x10ee, 0x0001, 0x010802);

    EXPECT_TRUE(allowed(policy, in_unit(60042, "ci-runner.service"), edu));
    EXPECT_FALSE(allowed(policy, in_unit(60100, "ci-runner.service"), edu));
    EXPECT_FALSE(allowed(policy, in_unit(60042, "ci-runner.service"), storage));
    EXPECT_FALSE(allowed(policy, user(1002), storage, Mode::direct));
    EXPECT_TRUE(allowed(policy, user(1002), edu, Mode::direct));
}

TEST(Example, ContainerHostKeepsTenantsToTheirOwnFunctionsAndAccounts) {
    const Policy policy = example("container-host.json");
    const DeviceFacts function_a = device("0000:3b:02.0", 0x8086, 0x154c, 0x020000);
    const DeviceFacts function_b = device("0000:3b:12.0", 0x8086, 0x154c, 0x020000);

    EXPECT_TRUE(allowed(policy, user(1000000), function_a));
    EXPECT_FALSE(allowed(policy, user(1000000), function_b));
    EXPECT_TRUE(allowed(policy, user(1131071), function_b));
    EXPECT_EQ(account_of(policy, user(1000000))->uid, 2001U);
    EXPECT_EQ(account_of(policy, user(1131071))->uid, 2002U);
    EXPECT_FALSE(allowed(policy, user(2001), device("0000:3b:00.0", 0x8086, 0x1583, 0x020000)));

    Subject contained = user(1000033);
    contained.container = Container{"any", 1000000, {}};
    EXPECT_TRUE(allowed(policy, contained, function_a));
    EXPECT_FALSE(allowed(policy, contained, function_b));
}

}  // namespace
}  // namespace iommud::policy
