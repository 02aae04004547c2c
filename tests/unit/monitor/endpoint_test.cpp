#include "daemon/monitor/endpoint.hpp"

#include <gtest/gtest.h>

#include <iterator>

#include "daemon/base/bytes.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::monitor {
namespace {

const PciAddress edu = PciAddress::parse("0000:00:04.0").value();
const PciAddress other = PciAddress::parse("0000:00:06.0").value();

ipc::OpenEndpointRequest request() {
    ipc::OpenEndpointRequest made;
    made.id = "web-1";
    made.pid = 17;
    return made;
}

TEST(EndpointId, IsAContainersId) {
    EXPECT_TRUE(valid_endpoint_id("a"));
    EXPECT_TRUE(valid_endpoint_id("web_1.two-THREE"));
    EXPECT_TRUE(valid_endpoint_id(std::string(128, 'f')));
}

TEST(EndpointId, LeadsOutOfNoFolder) {
    EXPECT_FALSE(valid_endpoint_id(""));
    EXPECT_FALSE(valid_endpoint_id("."));
    EXPECT_FALSE(valid_endpoint_id(".."));
    EXPECT_FALSE(valid_endpoint_id(".hidden"));
    EXPECT_FALSE(valid_endpoint_id("a/b"));
    EXPECT_FALSE(valid_endpoint_id("../admin"));
    EXPECT_FALSE(valid_endpoint_id(std::string("a\0b", 3)));
    EXPECT_FALSE(valid_endpoint_id("a\nb"));
    EXPECT_FALSE(valid_endpoint_id("a b"));
    EXPECT_FALSE(valid_endpoint_id("\xc3\xa4"));
    EXPECT_FALSE(valid_endpoint_id(std::string(129, 'f')));
}

TEST(EndpointRequest, OfOneContainerIsTaken) {
    EXPECT_TRUE(check_endpoint(request()));
}

TEST(EndpointRequest, WithTooManyDevicesIsNot) {
    ipc::OpenEndpointRequest asked = request();
    asked.devices.assign(33, edu);

    EXPECT_FALSE(check_endpoint(asked));
}

TEST(EndpointRequest, WithLessThanAPageIsNot) {
    ipc::OpenEndpointRequest asked = request();
    asked.memory = 4095;

    EXPECT_FALSE(check_endpoint(asked));
}

TEST(EndpointRequest, WithTooManyAnnotationsIsNot) {
    ipc::OpenEndpointRequest asked = request();
    for (int i = 0; i < 33; ++i) {
        asked.annotations[std::to_string(i)] = "x";
    }

    EXPECT_FALSE(check_endpoint(asked));
}

TEST(EndpointRequest, WithALongAnnotationIsNot) {
    ipc::OpenEndpointRequest asked = request();
    asked.annotations["key"] = std::string(257, 'x');

    EXPECT_FALSE(check_endpoint(asked));
}

TEST(EndpointRequest, WithALongKeyIsNot) {
    ipc::OpenEndpointRequest asked = request();
    asked.annotations[std::string(129, 'k')] = "x";

    EXPECT_FALSE(check_endpoint(asked));
}

TEST(EndpointRequest, WithControlCharactersIsNot) {
    ipc::OpenEndpointRequest asked = request();
    asked.annotations["key"] = "a\nb";

    EXPECT_FALSE(check_endpoint(asked));
}

TEST(EndpointRecord, AsLargeAsARequestMayBeFitsIntoTheVault) {
    ipc::OpenEndpointRequest asked = request();
    asked.id = std::string(128, 'f');
    asked.devices.assign(32, edu);
    for (int i = 0; i < 8; ++i) {
        asked.annotations[std::string(1, static_cast<char>('a' + i)) + std::string(127, 'k')] = std::string(247, 'v');
    }
    ASSERT_TRUE(check_endpoint(asked));
    EndpointRecord record{.id = asked.id,
                          .pid = 1,
                          .start = 2,
                          .cgroup = 3,
                          .owner = 4,
                          .devices = asked.devices,
                          .memory = 5,
                          .annotations = asked.annotations};

    const ipc::Bytes bytes = ipc::encode_value(record);

    EXPECT_LE(bytes.size(), ipc::max_record);
    EXPECT_TRUE(ipc::decode_value<EndpointRecord>(bytes));
}

TEST(EndpointKey, IsAnotherForTheNextContainerOfTheName) {
    const EndpointRecord first{.id = "web", .pid = 17, .start = 100, .devices = {}, .memory = {}, .annotations = {}};
    EndpointRecord second = first;
    second.start = 101;

    EXPECT_NE(first.key(), second.key());
}

TEST(WithinEndpoint, TheHostIsInNone) {
    EXPECT_EQ(within_endpoint(nullptr, {edu}, MiB).value(), std::optional(MiB));
}

TEST(WithinEndpoint, OnlyTheContainersDevicesAreGiven) {
    const EndpointRecord web{.id = "web", .devices = {edu}, .memory = {}, .annotations = {}};

    EXPECT_TRUE(within_endpoint(&web, {edu}, {}));
    EXPECT_EQ(within_endpoint(&web, {edu, other}, {}).error().code, ErrorCode::access_denied);
}

TEST(WithinEndpoint, AContainerThatNamesNoDeviceMayAskForAny) {
    const EndpointRecord web{.id = "web", .devices = {}, .memory = {}, .annotations = {}};

    EXPECT_TRUE(within_endpoint(&web, {edu, other}, {}));
}

TEST(WithinEndpoint, ItsMemoryIsTheDefaultAndTheMost) {
    const EndpointRecord web{.id = "web", .devices = {}, .memory = 8 * MiB, .annotations = {}};

    EXPECT_EQ(within_endpoint(&web, {edu}, {}).value(), std::optional(8 * MiB));
    EXPECT_EQ(within_endpoint(&web, {edu}, 4 * MiB).value(), std::optional(4 * MiB));
    EXPECT_EQ(within_endpoint(&web, {edu}, 8 * MiB + 1).error().code, ErrorCode::memory_limit);
}

}  // namespace
}  // namespace iommud::monitor
