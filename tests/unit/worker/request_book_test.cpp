#include "daemon/worker/request_book.hpp"

#include <gtest/gtest.h>

namespace iommud::worker {
namespace {

Pending pending(RequestKind kind) {
    Pending made;
    made.kind = kind;
    return made;
}

TEST(RequestBook, FindsARequestByItsCookieUntilItIsClosed) {
    RequestBook book;
    const std::uint64_t first = book.open(pending(RequestKind::acquire)).value();
    const std::uint64_t second = book.open(pending(RequestKind::explain)).value();

    EXPECT_NE(first, second);
    EXPECT_EQ(book.find(second)->kind, RequestKind::explain);
    book.close(second);
    EXPECT_EQ(book.find(second), nullptr);
    EXPECT_EQ(book.size(), 1U);
}

TEST(RequestBook, TheSixtyFifthAtATimeIsRefused) {
    RequestBook book;
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < most_pending; ++i) {
        last = book.open(pending(RequestKind::accounts)).value();
    }

    const auto refused = book.open(pending(RequestKind::accounts));
    book.close(last);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
    EXPECT_TRUE(book.open(pending(RequestKind::accounts)));
}

TEST(RequestBook, ACookieThatWasNeverGivenIsFatal) {
    RequestBook book;
    const std::uint64_t cookie = book.open(pending(RequestKind::reload)).value();

    EXPECT_THROW(static_cast<void>(book.find(0)), Fatal);
    EXPECT_THROW(static_cast<void>(book.find(cookie + 1)), Fatal);
}

TEST(RequestBook, AnAnswerOfAnotherKindIsFatal) {
    RequestBook book;
    const std::uint64_t cookie = book.open(pending(RequestKind::acquire)).value();

    EXPECT_THROW(static_cast<void>(book.find(cookie, {RequestKind::explain})), Fatal);
    EXPECT_NE(book.find(cookie, {RequestKind::add, RequestKind::acquire}), nullptr);
}

TEST(RequestBook, ACookieIsNotUsedTwice) {
    RequestBook book;
    const std::uint64_t first = book.open(pending(RequestKind::reload)).value();
    book.close(first);

    EXPECT_NE(book.open(pending(RequestKind::reload)).value(), first);
}

}  // namespace
}  // namespace iommud::worker
