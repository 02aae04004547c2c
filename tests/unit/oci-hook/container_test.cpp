#include "client/oci-hook/container.hpp"

#include <gtest/gtest.h>

#include "daemon/base/bytes.hpp"
#include "daemon/base/endpoint_bounds.hpp"

namespace iommud::hook {
namespace {

const PciAddress edu = PciAddress::parse("0000:00:04.0").value();
const PciAddress other = PciAddress::parse("0000:00:06.0").value();

State state(const std::string& more = "") {
    return parse_state(R"({"ociVersion": "1.0.2", "id": "web", "status": "created", "pid": 17, "bundle": "/b")" + more +
                       "}")
        .value();
}

Config annotated(const std::string& annotations) {
    return parse_config(R"({"root": {"path": "rootfs"}, "annotations": {)" + annotations + "}}").value();
}

Config with_hooks(const std::string& hooks) {
    return parse_config(R"({"process": {"env": ["IOMMUD_DEVICE_A=all"]}, "hooks": {"createRuntime": [)" + hooks + "]}}")
        .value();
}

std::string device_hook(const std::string& name) {
    return R"({"path": "/hook", "args": ["iommud-oci-hook", "device", ")" + name + "\"]}";
}

TEST(State, OfRuncIsRead) {
    const auto read = parse_state(
        R"({"ociVersion":"1.0.2-dev","id":"c1","pid":4711,"status":"creating","bundle":"/run/b","annotations":{"a":"b"}})");

    ASSERT_TRUE(read);
    EXPECT_EQ(read->id, "c1");
    EXPECT_EQ(read->pid, 4711);
    EXPECT_EQ(read->bundle, "/run/b");
    EXPECT_EQ(read->annotations.at("a"), "b");
}

TEST(State, MayHaveKeysOfARuntimesOwn) {
    EXPECT_TRUE(
        parse_state(R"({"ociVersion":"1.0","id":"c1","pid":0,"status":"stopped","root":"/x","new":{"a":[1]}})"));
}

TEST(State, MayLackWhatIsNotNeeded) {
    const auto read = parse_state(R"({"id":"c1"})");

    ASSERT_TRUE(read);
    EXPECT_EQ(read->pid, 0);
    EXPECT_TRUE(read->annotations.empty());
}

TEST(State, WithValuesOfOtherTypesHasThemNot) {
    const auto read = parse_state(R"({"id":"c1","pid":"17","bundle":{},"annotations":[1],"status":null})");

    ASSERT_TRUE(read);
    EXPECT_EQ(read->pid, 0);
    EXPECT_EQ(read->bundle, "");
}

TEST(State, ThatIsNoneIsRefused) {
    for (const char* text : {"", "null", "[]", "17", "{", R"({"id":"c1"} x)", R"({"id":"c1",})", "\xff", R"({"id":""})",
                             R"({"id":"../x"})", R"({"id":7})", R"({"pid":1})", R"({"id":".x"})"}) {
        EXPECT_FALSE(parse_state(text)) << text;
    }
}

TEST(State, WithAKeyTwiceIsRefused) {
    EXPECT_FALSE(parse_state(R"({"id":"c1","pid":1,"pid":2})"));
    EXPECT_FALSE(parse_state(R"({"id":"c1","annotations":{"a":"1","b":"2","a":"3"}})"));
    EXPECT_TRUE(parse_state(R"({"id":"c1","annotations":{"id":"1"},"x":[{"a":1},{"a":2}]})")) << "other objects";
}

TEST(State, NestedTooDeepIsRefused) {
    const std::string deep = std::string(100000, '[') + std::string(100000, ']');

    EXPECT_FALSE(parse_state(R"({"id":"c1","x":)" + deep + "}"));
}

TEST(State, TooLongIsRefused) {
    EXPECT_FALSE(parse_state(R"({"id":"c1","x":")" + std::string(most_json, 'x') + "\"}"));
}

TEST(Config, IsReadAsFarAsItMatters) {
    const auto config = parse_config(
        R"({"root":{"path":"/r"},"hooks":{"createRuntime":[7,{"args":["x","device","all"]},{"args":3}]},"mounts":[{"destination":"/run/iommud"},3,{}]})");

    ASSERT_TRUE(config);
    EXPECT_EQ(config->root, "/r");
    EXPECT_EQ(config->cdi_devices, (std::vector<std::string>{"all"}));
    EXPECT_EQ(config->mount_points, (std::vector<std::string>{"/run/iommud", "", ""}));
}

TEST(Config, OfTenThousandDevicesIsRead) {
    std::string devices;
    for (int i = 0; i < 10000; ++i) {
        devices += R"({"path":"/dev/x","type":"c","major":1,"minor":3},)";
    }

    EXPECT_TRUE(parse_config(R"({"linux":{"devices":[)" + devices + "null]}}"));
}

TEST(Wish, OfAContainerThatAsksForNothingIsNone) {
    const auto wish = read_wish(state(), annotated(R"("org.example": "x")"), false);

    ASSERT_TRUE(wish);
    EXPECT_FALSE(*wish);
}

TEST(Wish, IsWhatTheAnnotationsSay) {
    const auto wish = read_wish(state(),
                                annotated(R"("org.iommud.devices": "0000:00:04.0,0000:00:06.0",)"
                                          R"("org.iommud.memory": "8MiB", "org.iommud.mode": "managed")"),
                                false);

    ASSERT_TRUE(wish && *wish);
    EXPECT_EQ((*wish)->devices, (std::vector{edu, other}));
    EXPECT_EQ((*wish)->memory, 8 * MiB);
}

TEST(Wish, MayComeFromTheStatesAnnotations) {
    const auto wish = read_wish(state(R"(, "annotations": {"org.iommud.devices": "0000:00:04.0"})"), Config(), false);

    ASSERT_TRUE(wish && *wish);
    EXPECT_EQ((*wish)->devices, std::vector{edu});
}

TEST(Wish, OfAllDevicesNamesNone) {
    const auto wish = read_wish(state(), annotated(R"("org.iommud.devices": "all")"), false);

    ASSERT_TRUE(wish && *wish);
    EXPECT_TRUE((*wish)->devices.empty());
}

TEST(Wish, ThatCannotBeReadIsRefused) {
    for (const char* annotations :
         {R"("org.iommud.devices": "")", R"("org.iommud.devices": "04.0")", R"("org.iommud.devices": ",")",
          R"("org.iommud.devices": "0000:00:04.0,")", R"("org.iommud.devices": 7)", R"("org.iommud.memory": "8MiB")",
          R"("org.iommud.devices": "all", "org.iommud.memory": "lots")",
          R"("org.iommud.devices": "all", "org.iommud.memory": "1")",
          R"("org.iommud.devices": "all", "org.iommud.mode": "direct")"}) {
        EXPECT_FALSE(read_wish(state(), annotated(annotations), false)) << annotations;
    }
}

TEST(Wish, ForTenThousandDevicesIsRefused) {
    std::string list = "0000:00:04.0";
    for (int bus = 0; bus < 256; ++bus) {
        for (int slot = 0; slot < 32; ++slot) {
            constexpr std::string_view digits = "0123456789abcdef";
            list += std::string(",0000:") + digits[static_cast<std::size_t>(bus / 16)] +
                    digits[static_cast<std::size_t>(bus % 16)] + ":" + digits[static_cast<std::size_t>(slot / 16)] +
                    digits[static_cast<std::size_t>(slot % 16)] + ".0";
        }
    }

    EXPECT_FALSE(read_wish(state(), annotated(R"("org.iommud.devices": ")" + list + "\""), false));
}

TEST(Wish, ByCdiIsWhatCameWithEachDevice) {
    const Config config = with_hooks(device_hook("0000:00:04.0") + "," + device_hook("0000:00:06.0") +
                                     R"(,{"path": "/hook", "args": ["iommud-oci-hook", "createRuntime", "--cdi"]})");

    const auto wish = read_wish(state(), config, true);

    ASSERT_TRUE(wish && *wish);
    EXPECT_EQ((*wish)->devices, (std::vector{edu, other}));
}

TEST(Wish, ByCdiIsNothingWithoutIt) {
    const auto wish = read_wish(state(), with_hooks(device_hook("0000:00:04.0")), false);

    ASSERT_TRUE(wish);
    EXPECT_FALSE(*wish);
}

TEST(Wish, ByCdiWithoutADeviceIsRefused) {
    EXPECT_FALSE(read_wish(state(), Config(), true));
    EXPECT_FALSE(read_wish(state(), with_hooks(""), true))
        << "what an image says in its environment counts for nothing";
    EXPECT_FALSE(read_wish(state(), with_hooks(device_hook("x")), true));
}

TEST(AnnotationsToTell, AreThoseThatTheDaemonTakes) {
    Config config = annotated(R"("team": "storage", "empty": "")");
    config.annotations["long"] = std::string(1000000, 'x');
    config.annotations["line"] = "a\nb";

    EXPECT_EQ(annotations_to_tell(state(), config),
              (std::map<std::string, std::string>{{"team", "storage"}, {"empty", ""}}));
}

TEST(AnnotationsToTell, AreAsManyAsTheDaemonTakes) {
    Config config;
    for (int i = 0; i < 10000; ++i) {
        config.annotations[std::to_string(i)] = "x";
    }
    Config large;
    for (int i = 0; i < 30; ++i) {
        large.annotations[std::to_string(i)] = std::string(256, 'x');
    }

    EXPECT_EQ(annotations_to_tell(state(), config).size(), most_annotations);
    EXPECT_EQ(annotations_to_tell(state(), large).size(), most_annotation_bytes / (256 + 10));
}

TEST(RootOnHost, IsWhatTheMapMakesOfUidZero) {
    EXPECT_EQ(root_on_host("         0          0 4294967295\n"), 0U);
    EXPECT_EQ(root_on_host("         0     100000      65536\n"), 100000U);
    EXPECT_EQ(root_on_host("         1     100000      65536\n         0       1000          1\n"), 1000U);
}

TEST(RootOnHost, IsNoneWhereUidZeroIsNotMapped) {
    EXPECT_FALSE(root_on_host(""));
    EXPECT_FALSE(root_on_host("         1     100000      65536\n"));
    EXPECT_FALSE(root_on_host("rubbish\n"));
    EXPECT_FALSE(root_on_host("0\n"));
    EXPECT_FALSE(root_on_host("0 x\n"));
}

}  // namespace
}  // namespace iommud::hook
