#include "daemon/base/uuid.hpp"

#include <gtest/gtest.h>

namespace iommud {
namespace {

TEST(Uuid, IsTheTextThatItWas) {
    for (const char* text : {"bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3", "00000000-0000-0000-0000-0000000000ff"}) {
        EXPECT_EQ(uuid_text(parse_uuid(text).value()), text);
    }
}

}  // namespace
}  // namespace iommud
