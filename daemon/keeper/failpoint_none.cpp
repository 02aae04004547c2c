#include "daemon/keeper/failpoint.hpp"

namespace iommud::keeper {

void failpoint(const char*) {}

}  // namespace iommud::keeper
