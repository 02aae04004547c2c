// Which frames a worker may send, and what each needs. Privilege is data: it stands in the table, not in the answers.
#pragma once

#include "daemon/ipc/channel.hpp"

namespace iommud::monitor {

class Connection;
class Monitor;

// Answers one frame of `connection`'s worker. What is wrong with the frame, in a few words, when no worker of ours
// would have sent it: the worker is then to be killed (I4). nullptr: it was answered, or will be.
[[nodiscard]] const char* dispatch(Monitor& monitor, Connection& connection, const ipc::Packet& packet);

}  // namespace iommud::monitor
