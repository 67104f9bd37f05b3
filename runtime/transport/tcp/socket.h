// Sockets with the options this transport wants.  Nothing here blocks.
#pragma once

#include "runtime/base/status.h"
#include "runtime/transport/tcp/address.h"
#include "runtime/transport/tcp/tcp_options.h"

namespace rhz::tcp {

struct Listener {
  int fd = -1;
  SocketAddress address;  // with the port that was chosen
};
[[nodiscard]] Result<Listener> listen_on(const TcpOptions& options);

// A socket that is connecting, or -1 with errno.
int start_connect(const SocketAddress& to, const TcpOptions& options);
// For a connection that stands: delays, buffers, congestion control.
void tune_connected(int fd, const TcpOptions& options);
// Until it has said who it is, a connection gets little kernel memory (B1).
void limit_stranger(int fd);
// The socket is connected to itself: a connect to a free port of this host may draw that same port
// as its own.
bool connected_to_itself(int fd);

}  // namespace rhz::tcp
