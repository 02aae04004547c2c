#include "daemon/base/serial_number.hpp"

#include <gtest/gtest.h>

namespace iommud {
namespace {

TEST(SerialNumber, IsEightBytesInLowerCase) {
    EXPECT_TRUE(is_serial_number("52-54-00-ff-ff-12-34-56"));
    for (const char* text :
         {"", "none", "52-54-00-ff-ff-12-34", "52-54-00-ff-ff-12-34-56-", "52-54-00-ff-ff-12-34-56-78",
          "52:54:00:ff:ff:12:34:56", "52-54-00-FF-FF-12-34-56", "525-4-00-ff-ff-12-34-56"}) {
        EXPECT_FALSE(is_serial_number(text)) << text;
    }
}

}  // namespace
}  // namespace iommud
