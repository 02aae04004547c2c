#include "daemon/vault/freed_memory.hpp"

#include <gtest/gtest.h>

namespace iommud::vault {
namespace {

TEST(FreedMemory, TheKernelsCommandLineSaysWhetherPagesAreCleared) {
    EXPECT_TRUE(clears_pages("BOOT_IMAGE=/vmlinuz init_on_alloc=1 quiet\n", ""));
    EXPECT_TRUE(clears_pages("init_on_alloc=y", ""));
    EXPECT_TRUE(clears_pages("init_on_alloc=on", ""));
    EXPECT_FALSE(clears_pages("init_on_alloc=0", ""));
    EXPECT_FALSE(clears_pages("init_on_alloc=off", ""));
    EXPECT_FALSE(clears_pages("", ""));
}

TEST(FreedMemory, TheLastWordHolds) {
    EXPECT_FALSE(clears_pages("init_on_alloc=1 init_on_alloc=0", ""));
    EXPECT_TRUE(clears_pages("init_on_alloc=0 init_on_alloc=1", ""));
}

TEST(FreedMemory, WhatIsNoParameterOfTheKernelSaysNothing) {
    EXPECT_FALSE(clears_pages("systemd.setenv=\"a init_on_alloc=1\"", ""));
    EXPECT_FALSE(clears_pages("quiet -- init_on_alloc=1", ""));
    EXPECT_FALSE(clears_pages("no_init_on_alloc=1", ""));
    EXPECT_FALSE(clears_pages("init_on_alloc", ""));
}

TEST(FreedMemory, TheConfigurationHoldsWhereTheCommandLineSaysNothing) {
    constexpr const char* on = "CONFIG_A=y\nCONFIG_INIT_ON_ALLOC_DEFAULT_ON=y\nCONFIG_B=m";
    EXPECT_TRUE(clears_pages("quiet", on));
    EXPECT_TRUE(clears_pages("quiet", "CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y"));
    EXPECT_FALSE(clears_pages("init_on_alloc=0", on));
    EXPECT_FALSE(clears_pages("quiet", "# CONFIG_INIT_ON_ALLOC_DEFAULT_ON is not set\n"));
    EXPECT_FALSE(clears_pages("quiet", "#CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y\n"));
}

}  // namespace
}  // namespace iommud::vault
