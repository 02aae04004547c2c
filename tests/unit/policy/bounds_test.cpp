// What people are told of a bound is the bound (daemon/base/bounds.hpp): the schema and the man page.
#include "daemon/base/bounds.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

using testing::HasSubstr;

std::string text_of(const std::string& path) {
    std::ifstream stream(std::string(IOMMUD_SOURCE_DIR "/") + path);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
}

TEST(Bounds, AreThoseOfTheSchema) {
    const std::string schema = text_of("policy/schema/policy.schema.json");

    EXPECT_THAT(schema,
                HasSubstr(fmt::format(R"("maps": {{ "type": "integer", "minimum": 1, "maximum": {}, "default": {} }})",
                                      most_maps, default_maps)));
    EXPECT_THAT(schema, HasSubstr(fmt::format("; at most {}TiB.", most_memory >> 40)));
    EXPECT_THAT(schema, HasSubstr(fmt::format("[A-Za-z0-9_.-]{{1,{}}}$", longest_rule_id)));
}

TEST(Bounds, AreThoseOfTheManPage) {
    const std::string page = text_of("man/iommud-policy.5.scd");

    EXPECT_THAT(page, HasSubstr(fmt::format("1 to {}. Default: {}.", most_maps, default_maps)));
    EXPECT_THAT(page, HasSubstr(fmt::format("At most {}TiB", most_memory >> 40)));
}

}  // namespace
}  // namespace iommud::policy
