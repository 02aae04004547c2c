// Places where a test makes a keeper slow or dead. The installed keeper links failpoint_none.cpp, where it is nothing;
// the tests' keeper links tests/integration/keeper/failpoint.cpp.
#pragma once

namespace iommud::keeper {

// `place`: "bind", "attached", "deliver", "delivered", "map", "release", "destroyed", "drain".
void failpoint(const char* place);

}  // namespace iommud::keeper
