#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace rhz::tools {

// "ADDRESS:PORT" of this end and of the other, of every TCP connection of a process.
struct Connection {
  std::string local, remote;
};
std::vector<Connection> connections_of(pid_t pid);

// The kernel ends it for both ends, as if a reset had come.  False: not permitted, or there is no `ss` (iproute2).
bool reset_connection(const Connection& connection);

}  // namespace rhz::tools
