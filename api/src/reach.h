// Where a process of a run finds its coordinator, and where others find the process.
#pragma once

#include <string>
#include <vector>

#include "runtime/transport/tcp/address.h"

namespace rhz {

// What "HOST:PORT" resolves to, not empty; may block.  kArgument, kUnreachable, with the text.
[[nodiscard]] Result<std::vector<tcp::SocketAddress>> coordinator_addresses(
    const std::string& coordinator);

// "ADDR", "[V6]" or "ADDR:PORT" with a port, 0 where it has none.
std::string with_port(const std::string& host_or_address);

// `listen` with a port; where it is empty: the side from which the coordinator is reached.
std::string where_to_listen(const std::string& listen, const tcp::SocketAddress& coordinator);

}  // namespace rhz
