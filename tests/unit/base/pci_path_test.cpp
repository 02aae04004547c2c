#include "daemon/base/pci_path.hpp"

#include <gtest/gtest.h>

#include "daemon/base/pci_address.hpp"

namespace iommud {
namespace {

TEST(PciPath, LeavesOutTheNumbersOfBusesBelowTheRoot) {
    EXPECT_EQ(pci_path_of("../../../devices/pci0000:00/0000:00:04.0"), "00:04.0");
    EXPECT_EQ(pci_path_of("/sys/devices/pci0000:00/0000:00:1c.4/0000:03:00.0"), "00:1c.4/00.0");
    EXPECT_EQ(pci_path_of("../../../devices/pci0000:16/0000:16:02.0/0000:17:00.0/0000:18:1f.7"), "16:02.0/00.0/1f.7");
}

TEST(PciPath, HasTheDomainWhereItIsNotTheFirst) {
    EXPECT_EQ(pci_path_of("/sys/devices/pci0001:00/0001:00:01.0/0001:01:00.0"), "0001:00:01.0/00.0");
}

TEST(PciPath, BehindVmdBeginsInItsDomain) {
    EXPECT_EQ(pci_path_of("/sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0"),
              "10000:e0:06.0/00.0");
}

TEST(PciPath, OfWhatIsNoPciDeviceIsNone) {
    EXPECT_EQ(pci_path_of("/sys/devices/platform/serial8250"), std::nullopt);
    EXPECT_EQ(pci_path_of(""), std::nullopt);
}

TEST(PciPath, AsWrittenLosesTheFirstDomain) {
    EXPECT_EQ(parse_pci_path("00:1c.4/00.0"), "00:1c.4/00.0");
    EXPECT_EQ(parse_pci_path("0000:00:1c.4/00.0"), "00:1c.4/00.0");
    EXPECT_EQ(parse_pci_path("0001:00:1c.4"), "0001:00:1c.4");
}

TEST(PciPath, AsWrittenIsNoOtherText) {
    for (const char* text : {"", "/", "00:1c.4/", "00:1c.4//00.0", "/00.0", "1c.4/00.0", "00:1c.4/03:00.0", "00:1C.4",
                             "00:3c.4", "00:1c.8", "00:1c.4/00.0/x", "00:1c.4/00.0 "}) {
        EXPECT_EQ(parse_pci_path(text), std::nullopt) << text;
    }
}

TEST(PciAddressName, MayHaveADashForEachColon) {
    EXPECT_EQ(PciAddress::parse_name("0000-81-00.0"), PciAddress::parse("0000:81:00.0"));
    EXPECT_EQ(PciAddress::parse_name("0000:81:00.0"), PciAddress::parse("0000:81:00.0"));
    for (const char* text : {"81-00.0", "0000-81-00-0", "0000--81-00.0", "0000-81-00.00000000000000000000"}) {
        EXPECT_EQ(PciAddress::parse_name(text), std::nullopt) << text;
    }
}

TEST(PciAddressName, ThatIsAMediatedDevicesIsSaidToBeOne) {
    EXPECT_STREQ(why_no_address("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"),
                 "is a mediated device, and those are not leased");
    EXPECT_STREQ(why_no_address("81:00.0"), "is no PCI address; one looks like 0000:81:00.0");
}

}  // namespace
}  // namespace iommud
