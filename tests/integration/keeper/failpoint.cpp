// IOMMUD_FAILPOINT="PLACE:ACTION": what the tests' keeper does when it comes to PLACE. Actions: sleep=SECONDS,
// exit=CODE.
#include "daemon/keeper/failpoint.hpp"

#include <poll.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace iommud::keeper {

void failpoint(const char* place) {
    const char* const variable = std::getenv("IOMMUD_FAILPOINT");  // NOLINT(concurrency-mt-unsafe): nobody sets it
    const std::string_view wish = variable != nullptr ? variable : "";
    const std::size_t colon = wish.find(':');
    const std::size_t equals = wish.find('=');
    if (colon == std::string_view::npos || equals == std::string_view::npos || wish.substr(0, colon) != place) {
        return;
    }
    int number = 0;
    std::from_chars(wish.data() + equals + 1, wish.data() + wish.size(), number);
    const std::string_view action = wish.substr(colon + 1, equals - colon - 1);
    if (action == "sleep") {
        ::poll(nullptr, 0, number * 1000);  // a call that the keeper's filter allows
    } else if (action == "exit") {
        ::_exit(number);
    }
}

}  // namespace iommud::keeper
