// Loading: several files, bounds, warnings. What is wrong in one file is in tests/policy/bad.
#include "policy/json.hpp"
#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> texts(const Diagnostics& diagnostics) {
    std::vector<std::string> result;
    for (const Diagnostic& diagnostic : diagnostics) {
        result.push_back(diagnostic.text());
    }
    return result;
}

std::vector<std::string> errors_of(const std::vector<SourceFile>& files) {
    const auto policy = load(files, machine(), host_total);
    return policy ? std::vector<std::string>{} : texts(policy.error());
}

std::vector<std::string> warnings_of(const std::string& text) {
    return texts(good(text).warnings);
}

TEST(Load, OfNoFilesDeniesEverything) {
    const auto policy = load({}, machine(), host_total);

    ASSERT_TRUE(policy);
    EXPECT_FALSE(evaluate(*policy, user(0), ask({nic()})).allowed);
}

TEST(Load, TellsTheErrorsOfAllFilesAtOnce) {
    EXPECT_THAT(errors_of({{"b.json", R"({"version": 2})"}, {"a.json", "{"}, {"c.json", R"({"version": 1})"}}),
                ElementsAre("a.json:1:2: JSON syntax: unexpected end of input; expected string literal",
                            "b.json:1:13: /version: 2: this iommud knows version 1 of the language"));
}

TEST(Load, OneBadFileRefusesTheGoodOnes) {
    EXPECT_FALSE(errors_of({{"a.json", R"({"version": 1})"}, {"b.json", "nonsense"}}).empty());
}

TEST(Load, AnIdOfAnotherFileIsTaken) {
    const std::string rule = R"({"version": 1, "rules": [{"id": "r", "effect": "deny", "modes": ["legacy"]}]})";

    EXPECT_THAT(errors_of({{"a.json", rule}, {"b.json", rule}}),
                ElementsAre(R"(b.json:1:26: /rules/0: the id "r" is that of the rule at a.json:1 already)"));
}

TEST(Load, TheHostsMemoryIsGivenOnce) {
    const std::string host = "{\"version\": 1,\n\"host\": {\"memory\": \"50%\"}}";

    EXPECT_THAT(errors_of({{"a.json", host}, {"b.json", host}}),
                ElementsAre("b.json:2:20: /host/memory: already given at a.json:2"));
}

TEST(Load, WhetherTheSystemBusGivesLeasesIsSaidOnceAndWithoutMemory) {
    const std::string host = R"({"version": 1, "host": {"bus_acquire": true}})";

    const auto policy = load(std::vector<SourceFile>{{"a.json", host}}, machine(), host_total);

    ASSERT_TRUE(policy);
    EXPECT_TRUE(policy->bus_acquire);
    EXPECT_EQ(policy->host_memory, percent_of(host_total, default_host_percent));
    EXPECT_FALSE(load({}, machine(), host_total)->bus_acquire) << "by default";
    EXPECT_THAT(errors_of({{"a.json", host}, {"b.json", host}}),
                ElementsAre("b.json:1:40: /host/bus_acquire: already given at a.json:1"));
}

TEST(Load, AccountsOfTwoFilesMayContradictEachOther) {
    const std::string account = R"({"version": 1, "accounts": [{"match": {"group": "vfio"}, "memory": "1GiB"}]})";

    EXPECT_THAT(errors_of({{"a.json", account}, {"b.json", account}}),
                ElementsAre("b.json:1:29: /accounts/0: group vfio is equally specific as group vfio at a.json:1: which "
                            "of the two holds?"));
}

TEST(Load, PlacesAreKeptForPeople) {
    const Policy policy =
        good("{\"version\": 1, \"rules\": [\n\n{\"id\": \"r\", \"effect\": \"deny\", \"modes\": [\"direct\"]}]}");

    EXPECT_EQ(policy.text(policy.rules.at(0).where), "test.json:3");
}

TEST(Bounds, AFileAboveOneMebibyteIsRefused) {
    EXPECT_THAT(load_text(std::string(max_file_size + 1, ' ')).error().at(0).text(), "test.json: bigger than 1 MiB");
    EXPECT_THAT(errors_of({{"ten.json", std::string(10 << 20, ' ')}}), ElementsAre("ten.json: bigger than 1 MiB"));
}

TEST(Bounds, NestingTenThousandDeepIsRefusedAtTheSeventeenth) {
    EXPECT_THAT(errors_of({{"deep.json", std::string(10000, '[')}}),
                ElementsAre("deep.json:1:17: nested more than 16 deep"));
}

TEST(Bounds, TooManyValuesAreRefused) {
    std::string text = "[0";
    for (std::size_t i = 1; i < max_json_values; ++i) {
        text += ",0";
    }

    EXPECT_THAT(errors_of({{"many.json", text + "]"}}),
                ElementsAre("many.json:1:400000: more than 200000 values in one file"));
}

TEST(Bounds, AHundredErrorsAreShownAndTheRestCounted) {
    std::string text = R"({"version": 1)";
    for (int i = 0; i < 150; ++i) {
        text += ", \"nonsense" + std::to_string(i) + "\": 1";
    }

    const auto errors = errors_of({{"a.json", text + "}"}});

    ASSERT_EQ(errors.size(), max_diagnostics + 1);
    EXPECT_EQ(errors.back(), "a.json: and 50 more errors");
}

TEST(Bounds, ALongValueIsCutInItsMessage) {
    const auto errors = errors_of({{"a.json", R"({"version": ")" + std::string(100000, 'x') + "\"}"}});

    EXPECT_THAT(errors, ElementsAre("a.json:1:13: /version: \"" + std::string(60, 'x') +
                                    "…\": this iommud knows version 1 of the language"));
}

TEST(Warnings, AreNoneForAPolicyThatIsMeant) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "accounts": [{"match": {"user": "alice"}, "memory": "1GiB"}],
        "rules": [{"id": "a", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"class": "02"}]},
                  {"id": "d", "effect": "deny", "devices": [{"class": "01"}]}]})"),
                IsEmpty());
}

TEST(Warnings, TellOfARuleForNobody) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"user": "mallory"}], "devices": [{"class": "02"}]}]})"),
                ElementsAre("test.json:2:2: /rules/0: rule a can never match: its subjects are nobody",
                            R"(test.json:2:55: /rules/0/subjects/0/user: "mallory": no such user in /etc/passwd; )"
                            "matches nobody"));
}

TEST(Warnings, TellOfASubjectThatContradictsItself) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"user": "alice", "uids": "2000-3000"}], "devices": [{"class": "02"}]}]})"),
                ElementsAre("test.json:2:2: /rules/0: rule a can never match: its subjects are nobody"));
}

TEST(Warnings, TellOfASubjectThatIsTheDaemonsOwn) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"uids": "1879048192-1879048200"}], "devices": [{"class": "02"}]}]})"),
                ElementsAre("test.json:2:2: /rules/0: rule a can never match: its subjects are nobody"));
}

TEST(Warnings, TellOfDevicesThatAreKnownByANumber) {
    const std::string why =
        ": addresses and group numbers move when a card is added; \"path\", \"slot\" and \"serial\" stay";
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"class": "02"}, {"address": "0000:81:00.0"}]},
 {"id": "d", "effect": "deny", "devices": [{"address": "0000:82:*"}]},
 {"id": "g", "effect": "deny", "devices": [{"iommu_group": 4, "address": "*"}]},
 {"id": "v", "effect": "deny", "devices": [{"address": "0000:81:00.0", "class": "02", "driver": "vfio-pci"}]}]})"),
                ElementsAre("test.json:2:2: /rules/0: rule a knows a device by address 0000:81:00.0" + why,
                            "test.json:3:2: /rules/1: rule d knows a device by address 0000:82:*" + why,
                            "test.json:4:2: /rules/2: rule g knows a device by address *, iommu_group 4" + why,
                            "test.json:5:2: /rules/3: rule v knows a device by address 0000:81:00.0, class 02, driver "
                            "vfio-pci" +
                                why));
}

TEST(Warnings, DoNotTellOfWhatStays) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "d", "effect": "deny", "devices": [{"vendor": "8086", "device": "10d3"}, {"address": "*"},
                                           {"path": "00:1c.4/00.0"}, {"slot": "5"}, {"driver": "nvme"},
                                           {"address": "0000:82:*", "vendor": "8086"},
                                           {"serial": "52-54-00-ff-ff-12-34-56", "address": "0000:81:00.0"}]}]})"),
                IsEmpty());
}

TEST(Load, KnowsWhetherARuleKnowsDevicesByTheirSerialNumber) {
    const auto by_serial = [](const char* device) {
        const std::string text =
            std::string(R"({"version": 1, "rules": [{"id": "d", "effect": "deny", "devices": [{"class": "02"}, )") +
            device + "]}]}";
        return good(text).by_serial;
    };

    EXPECT_TRUE(by_serial(R"({"serial": "52-54-00-ff-ff-12-34-56"})"));
    EXPECT_FALSE(by_serial(R"({"path": "00:02.0"})"));
}

TEST(Warnings, TellOfSubordinateUidsWithoutAnEndpoint) {
    EXPECT_THAT(
        warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"uids": "100000-165535"}], "devices": [{"class": "02"}]}]})"),
        ElementsAre("test.json:2:2: /rules/0: rule a names subordinate uids (100000 of alice (uid 1000)), which "
                    "containers run with, and no \"endpoint\": a container gets nothing by it"));
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"uids": "100000-165535"}, {"endpoint": "*", "uids": "100000-165535"}],
  "devices": [{"class": "02"}]}]})"),
                IsEmpty());
}

TEST(Warnings, StandBesideErrors) {
    Diagnostics warnings;
    const SourceFile file{"a.json",
                          R"({"version": 2, "accounts": [{"match": {"user": "mallory"}, "memory": "1GiB"}]})"};

    EXPECT_FALSE(load(std::span(&file, 1), machine(), host_total, warnings));
    EXPECT_THAT(texts(warnings), ElementsAre(R"(a.json:1:48: /accounts/0/match/user: "mallory": no such user in )"
                                             "/etc/passwd; matches nobody"));
}

TEST(Warnings, TellOfAnAllowWhollyUnderADeny) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"user": "alice"}, {"user": "carol"}], "devices": [{"class": "0108"}]},
 {"id": "d", "effect": "deny", "subjects": [{"group": "vfio"}], "devices": [{"class": "02"}, {"class": "01"}]}]})"),
                ElementsAre("test.json:2:2: /rules/0: rule a allows nothing: it is wholly under the deny d at "
                            "test.json:3"));
}

TEST(Warnings, DoNotTellOfAnAllowPartlyUnderADeny) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"user": "alice"}, {"user": "bob"}], "devices": [{"class": "01"}]},
 {"id": "b", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"address": "*"}]},
 {"id": "c", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"class": "01"}],
  "modes": ["managed", "direct"]},
 {"id": "d", "effect": "deny", "subjects": [{"user": "alice"}], "devices": [{"class": "01"}], "modes": ["managed"]}
 ]})"),
                IsEmpty());
}

TEST(Warnings, TellOfAnAccountThatNoRuleIsAbout) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "accounts": [
 {"match": {"user": "bob"}, "memory": "1GiB"},
 {"match": {"uids": "5000-5999"}, "memory": "1GiB"},
 {"match": {"group": "root"}, "memory": "1GiB"},
 {"match": {"group": "vfio"}, "memory": "1GiB"}],
 "rules": [{"id": "a", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"class": "02"}]}]})"),
                ElementsAre("test.json:2:2: /accounts/0: no allow rule is about user bob: nothing is ever charged here",
                            "test.json:3:2: /accounts/1: no allow rule is about uids 5000-5999: nothing is ever "
                            "charged here",
                            "test.json:4:2: /accounts/2: no allow rule is about group root: nothing is ever charged "
                            "here"));
}

TEST(Warnings, DoNotTellOfAnAccountThatPaysForOthers) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "accounts": [
 {"match": {"user": "bob"}, "memory": "1GiB"}, {"match": {"user": "alice"}, "charge": "bob"}],
 "rules": [{"id": "a", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"class": "02"}]}]})"),
                IsEmpty());
}

TEST(Warnings, TellOfOverlappingRangesInOneRule) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "rules": [
 {"id": "a", "effect": "allow", "subjects": [{"uids": "5000-5999"}, {"uids": "1-9"}, {"uids": "5999-6000"}],
  "devices": [{"class": "02"}]}]})"),
                ElementsAre("test.json:2:2: /rules/0: rule a: the uid ranges 5000-5999 and 5999-6000 overlap"));
}

TEST(Warnings, TellOfAChargeForAnothersSubordinateUids) {
    EXPECT_THAT(warnings_of(R"({"version": 1, "accounts": [{"match": {"user": "alice"}, "memory": "1GiB"},
 {"match": {"uids": "100000-170000"}, "charge": "alice"}],
 "rules": [{"id": "a", "effect": "allow", "subjects": [{"uids": "0-200000", "endpoint": "*"}], "devices": [{"class": "02"}]}]})"),
                ElementsAre("test.json:2:2: /accounts/1: alice (uid 1000) pays for uids 100000-170000, of which "
                            "/etc/subuid gives 165536-231071 to bob (uid 1001)"));
}

}  // namespace
}  // namespace iommud::policy
