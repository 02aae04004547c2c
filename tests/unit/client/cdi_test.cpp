#include "client/iommuctl/cdi.hpp"

#include <gtest/gtest.h>

namespace iommud::ctl {
namespace {

const json devices = json::parse(R"([{"Address": "0000:00:04.0", "State": "available"},
                                     {"Address": "0000:00:06.0", "State": "leased"},
                                     {"Address": "0000:00:07.0", "State": "draining"},
                                     {"Address": "0000:00:08.0", "State": "unbound"},
                                     {"Address": "0000:00:09.0", "State": "host"},
                                     {"Address": "0000:00:0a.0", "State": "blocked"},
                                     {"Address": "0000:00:1f.0", "State": "unsafe"}])");

TEST(CdiSpec, NamesTheDevicesThatCanBeLeased) {
    EXPECT_EQ(cdi_names(cdi_spec(devices, "/hook")),
              (std::vector<std::string>{"iommud.org/device=0000:00:04.0", "iommud.org/device=0000-00-04.0",
                                        "iommud.org/device=0000:00:06.0", "iommud.org/device=0000-00-06.0",
                                        "iommud.org/device=0000:00:07.0", "iommud.org/device=0000-00-07.0",
                                        "iommud.org/device=all"}));
}

TEST(CdiSpec, ANameWithoutColonsIsTheSameDevice) {
    const json spec = cdi_spec(devices, "/hook");

    EXPECT_EQ(spec["devices"][1]["name"], "0000-00-04.0");
    EXPECT_EQ(spec["devices"][1]["containerEdits"], spec["devices"][0]["containerEdits"]);
}

TEST(CdiSpec, IsOfTheLowestVersionThatItsNamesNeed) {
    EXPECT_EQ(cdi_spec(devices, "/hook")["cdiVersion"], "0.5.0");
}

TEST(CdiSpec, BringsNoDeviceNodeAndNoMount) {
    const std::string text = cdi_spec(devices, "/hook").dump();

    EXPECT_EQ(text.find("deviceNodes"), std::string::npos);
    EXPECT_EQ(text.find("mounts"), std::string::npos);
}

TEST(CdiSpec, HasTheHookOnceAndOneThatNamesEachDevice) {
    const json spec = cdi_spec(devices, "/usr/libexec/iommud/iommud-oci-hook");

    EXPECT_EQ(spec["devices"][0]["containerEdits"],
              json::parse(R"({"hooks": [{"hookName": "createRuntime", "path": "/usr/libexec/iommud/iommud-oci-hook",
                                         "args": ["iommud-oci-hook", "device", "0000:00:04.0"], "timeout": 10}]})"));
    EXPECT_EQ(spec["containerEdits"]["hooks"][0],
              json::parse(R"({"hookName": "createRuntime", "path": "/usr/libexec/iommud/iommud-oci-hook",
                              "args": ["iommud-oci-hook", "createRuntime", "--cdi"], "timeout": 10})"));
    EXPECT_EQ(spec["containerEdits"]["hooks"][1]["hookName"], "poststop");
}

TEST(CdiNames, OfAnotherKindAreNone) {
    for (const char* text :
         {"null", "[]", "{}", R"({"kind": "nvidia.com/gpu", "devices": [{"name": "0"}]})",
          R"({"kind": "iommud.org/device"})", R"({"kind": "iommud.org/device", "devices": [1, {}]})"}) {
        EXPECT_TRUE(cdi_names(json::parse(text)).empty()) << text;
    }
}

}  // namespace
}  // namespace iommud::ctl
