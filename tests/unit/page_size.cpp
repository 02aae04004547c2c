// The page size that a unit test runs with: the kernel's, or $IOMMUD_TEST_PAGE_SIZE. Takes the place of
// daemon/base/page_size.cpp, which the linker then leaves in its archive.
#include <unistd.h>

#include <cstdlib>

#include "daemon/base/bytes.hpp"

namespace iommud {

std::uint64_t kernels_page_size() {
    const char* const other = std::getenv("IOMMUD_TEST_PAGE_SIZE");  // NOLINT(concurrency-mt-unsafe): before main
    return other != nullptr ? std::strtoull(other, nullptr, 10) : static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace iommud
