#include "client/iommuctl/text.hpp"

#include <gtest/gtest.h>

namespace iommud::ctl {
namespace {

TEST(Printable, LeavesTextAlone) {
    EXPECT_EQ(printable("Gerät № 5 – ünïcode 字"), "Gerät № 5 – ünïcode 字");
}

TEST(Printable, EscapesWhatWouldSteerATerminal) {
    EXPECT_EQ(printable("a\x1b[2Jb\n\t\x7f"), "a\\x1b[2Jb\\x0a\\x09\\x7f");
    EXPECT_EQ(printable(std::string("\0", 1)), "\\x00");
    EXPECT_EQ(printable("\xc2\x9b"
                        "2J"),
              "\\u{009b}2J");
}

TEST(Printable, EscapesWhatTurnsTheDirectionOfText) {
    EXPECT_EQ(printable("\u202egnp.exe"), "\\u{202e}gnp.exe");
    EXPECT_EQ(printable("\u2066x\u200f\u061c"), "\\u{2066}x\\u{200f}\\u{061c}");
}

TEST(Printable, EscapesWhatIsNotUtf8) {
    EXPECT_EQ(printable("\xff"), "\\xff");
    EXPECT_EQ(printable("\xc3"), "\\xc3");
    EXPECT_EQ(printable("\xc0\x80"), "\\xc0\\x80");
    EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
    EXPECT_EQ(printable("\xe2\x82x"), "\\xe2\\x82x");
}

Table sizes() {
    Table table({{"NAME"}, {"SIZE", Align::right}, {"NOTE"}}, "nothing here");
    table.add({"a", "12 MiB", ""});
    table.add({"größer", "4 KiB", "x"});
    return table;
}

TEST(Table, AlignsItsColumns) {
    EXPECT_EQ(sizes().text({}),
              "NAME      SIZE  NOTE\n"
              "a       12 MiB  -\n"
              "größer   4 KiB  x\n");
}

TEST(Table, WithoutLegendHasOnlyItsLines) {
    EXPECT_EQ(sizes().text({.legend = false, .colour = false}),
              "a       12 MiB  -\n"
              "größer   4 KiB  x\n");
}

TEST(Table, HasColourOnlyWhenAsked) {
    EXPECT_EQ(sizes().text({.legend = true, .colour = false}).find('\x1b'), std::string::npos);
    EXPECT_EQ(sizes().text({.legend = true, .colour = true}).find("\x1b[1mNAME"), 0U);
}

TEST(Table, MakesItsCellsPrintable) {
    Table table({{"LABEL"}}, "");
    table.add({"\x1b]0;title\a"});

    EXPECT_EQ(table.text({.legend = false, .colour = false}), "\\x1b]0;title\\x07\n");
}

TEST(Table, ThatIsEmptySaysSoToPeopleOnly) {
    const Table table({{"LEASE"}}, "no leases");

    EXPECT_EQ(table.text({}), "no leases\n");
    EXPECT_EQ(table.text({.legend = false, .colour = false}), "");
}

TEST(Details, StandBelowEachOther) {
    EXPECT_EQ(details({{"Address", "0000:00:04.0"}, {"ID", ""}, {"Label", "a\nb"}}),
              "Address: 0000:00:04.0\n"
              "ID:      -\n"
              "Label:   a\\x0ab\n");
}

}  // namespace
}  // namespace iommud::ctl
