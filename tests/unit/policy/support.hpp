// The machine that the policy tests are about, and short ways to write a policy and a question.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "policy/evaluate.hpp"
#include "policy/load.hpp"

namespace iommud::policy {

inline constexpr std::uint64_t host_total = 64 * GiB;
inline constexpr std::uint32_t alice = 1000;
inline constexpr std::uint32_t bob = 1001;
inline constexpr std::uint32_t carol = 1002;
inline constexpr std::uint32_t vfio = 107;
inline constexpr std::uint32_t kvm = 108;
inline constexpr std::uint32_t users = 100;

// alice and carol are in vfio by /etc/group, carol in kvm too; 100000-165535 are alice's subordinate uids.
inline Names machine() {
    return Names(
        "root:x:0:0:root:/root:/bin/sh\n"
        "alice:x:1000:100::/home/alice:/bin/sh\n"
        "bob:x:1001:100::/home/bob:/bin/sh\n"
        "carol:x:1002:100::/home/carol:/bin/sh\n",
        "root:x:0:\n"
        "users:x:100:\n"
        "vfio:x:107:alice,carol\n"
        "kvm:x:108:carol\n",
        "alice:100000:65536\n"
        "1001:165536:65536\n");
}

inline tl::expected<Policy, Diagnostics> load_text(std::string text) {
    const SourceFile file{"test.json", std::move(text)};
    return load(std::span(&file, 1), machine(), host_total);
}

// Only for policies that are meant to be good.
inline Policy good(std::string text) {
    auto policy = load_text(std::move(text));
    if (!policy) {
        throw std::runtime_error(policy.error().front().text());
    }
    return std::move(*policy);
}

// A policy with these rules, and an account of 1 GiB for everybody.
inline Policy with_rules(const std::string& rules) {
    return good(R"({"version": 1, "accounts": [{"match": {"uids": "0-2147483647"}, "memory": "1GiB"}], "rules": [)" +
                rules + "]}");
}

inline Subject user(std::uint32_t uid, std::vector<std::uint32_t> groups = {users}) {
    return Subject{.uid = uid, .groups = std::move(groups), .unit = "", .has_pidfd = true};
}

inline Subject in_unit(std::uint32_t uid, std::string unit) {
    return Subject{.uid = uid, .groups = {users}, .unit = std::move(unit), .has_pidfd = true};
}

// An e1000e network card at this address, in IOMMU group 4.
inline DeviceFacts nic(std::string_view address = "0000:81:00.0") {
    return DeviceFacts{.address = PciAddress::parse(address).value(),
                       .vendor = std::uint16_t{0x8086},
                       .device = std::uint16_t{0x10d3},
                       .subsystem_vendor = std::uint16_t{0x1af4},
                       .subsystem_device = std::uint16_t{0x1100},
                       .class_code = 0x020000U,
                       .iommu_group = 4,
                       .path = "00:1c.4/00.0",
                       .slot = "5-1",
                       .driver = "vfio-pci",
                       .serial = "52-54-00-ff-ff-12-34-56"};
}

// An NVMe disk, in IOMMU group 7.
inline DeviceFacts disk(std::string_view address = "0000:00:1f.2") {
    return DeviceFacts{.address = PciAddress::parse(address).value(),
                       .vendor = std::uint16_t{0x1b36},
                       .device = std::uint16_t{0x0010},
                       .subsystem_vendor = std::uint16_t{0x1af4},
                       .subsystem_device = std::uint16_t{0x1100},
                       .class_code = 0x010802U,
                       .iommu_group = 7,
                       .path = "00:1f.2",
                       .slot = "",
                       .driver = "vfio-pci",
                       .serial = ""};
}

inline Request ask(std::vector<DeviceFacts> devices, Mode mode = Mode::managed,
                   std::optional<std::uint64_t> memory = std::nullopt) {
    return Request{.asked = devices, .group_members = std::move(devices), .mode = mode, .memory = memory};
}

}  // namespace iommud::policy
