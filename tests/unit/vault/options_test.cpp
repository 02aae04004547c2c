#include "daemon/vault/options.hpp"

#include <getopt.h>
#include <gmock/gmock.h>

#include <vector>

namespace iommud::vault {
namespace {

Result<std::optional<Options>> parse(std::vector<std::string> words) {
    words.insert(words.begin(), "iommud-vault");
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    ::optind = 0;  // getopt begins anew
    return parse_options(static_cast<int>(words.size()), arguments.data());
}

TEST(VaultOptions, WithoutAnyIsTheRealKernel) {
    const auto options = parse({});

    ASSERT_TRUE(options && *options);
    EXPECT_FALSE((*options)->simulated);
    EXPECT_EQ((*options)->run, "/run/iommud");
    EXPECT_FALSE((*options)->libexec.empty());
}

TEST(VaultOptions, TheSimulatedKernelAndItsFolders) {
    const auto options =
        parse({"--kernel=simulated", "--run", "/tmp/r", "--libexec", "/tmp/l", "--config", "/tmp/c", "--verbose"});

    ASSERT_TRUE(options && *options);
    EXPECT_TRUE((*options)->simulated);
    EXPECT_TRUE((*options)->verbose);
    EXPECT_EQ((*options)->run, "/tmp/r");
    EXPECT_EQ((*options)->libexec, "/tmp/l");
}

TEST(VaultOptions, TheUidsOfKeepersAndWorkers) {
    const auto options = parse({"--keeper-uids", "2000000000-2000000999", "--worker-uids=2100000000-2100009999"});

    ASSERT_TRUE(options && *options);
    EXPECT_EQ((*options)->uids.keepers.first, 2000000000U);
    EXPECT_EQ((*options)->uids.keepers.last, 2000000999U);
    EXPECT_EQ((*options)->uids.workers.first, 2100000000U);
    EXPECT_FALSE(parse({"--keeper-uids", "1000-2000"})) << "users have such uids";
    EXPECT_FALSE(parse({"--worker-uids", "1879048192-1879148192"})) << "keepers have these";
}

TEST(VaultOptions, OthersAreRefused) {
    EXPECT_FALSE(parse({"--kernel=other"}));
    EXPECT_FALSE(parse({"--run", "relative"}));
    EXPECT_FALSE(parse({"--libexec", "relative"}));
    EXPECT_FALSE(parse({"a word"}));
}

constexpr const char* passwd =
    "root:x:0:0:root:/root:/bin/bash\niommud:x:990:989::/:/usr/sbin/nologin\niommud-bus:x:988:987::/:/bin/false\n"
    "zero:x:0:0::/:/bin/sh\nnobody:x:4294967295:1::/:/bin/sh\nshort:x:5\nwords:x:five:6::/:/bin/sh\n";

TEST(FindUser, ReadsUidAndGidOfExactlyThatName) {
    const auto user = find_user(passwd, "iommud");

    ASSERT_TRUE(user);
    EXPECT_EQ(user->uid, 990U);
    EXPECT_EQ(user->gid, 989U);
    EXPECT_EQ(find_user(passwd, "iommud-bus")->uid, 988U);
}

TEST(FindUser, NeverTakesRootNobodyOrALineThatItDoesNotUnderstand) {
    for (const char* name : {"zero", "nobody", "short", "words", "iommu", "", "missing"}) {
        EXPECT_FALSE(find_user(passwd, name)) << name;
    }
}

TEST(FindUser, SaysHowToGetTheUser) {
    EXPECT_THAT(find_user(passwd, "missing").error().message, testing::HasSubstr("systemd-sysusers"));
}

}  // namespace
}  // namespace iommud::vault
