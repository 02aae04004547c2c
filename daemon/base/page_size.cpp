#include <unistd.h>

#include "daemon/base/bytes.hpp"

namespace iommud {

std::uint64_t kernels_page_size() {
    return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace iommud
