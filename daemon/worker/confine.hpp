// What the worker gives up before it reads its client's first byte.
#pragma once

#include "daemon/ipc/types.hpp"

namespace iommud::worker {

// Undumpable, bounded memory, and the allow-list of its kind. Throws Fatal.
void confine(ConnectionKind kind);

}  // namespace iommud::worker
