// Where lanes of other peers arrive over TCP.
#pragma once

#include <string>
#include <vector>

#include "runtime/transport/tcp/socket.h"

namespace rhz::tcp {

// Checks the options that lanes have, and listens.
[[nodiscard]] Result<Listener> listen_for_lanes(const TcpOptions& options);
// What others are told.
std::vector<std::string> endpoints_of(const TcpOptions& options, const SocketAddress& bound);

}  // namespace rhz::tcp
