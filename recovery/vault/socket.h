// The vault's socket: a name in the abstract namespace, messages that keep their borders
// (SOCK_SEQPACKET), and descriptors beside them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/fd.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

// The name that the vault of this run has on this host, for this user.  `host`: a label of its own,
// where several vaults of one machine stand for as many hosts; empty: the machine is the host.
std::string vault_name(std::string_view run_id, std::string_view host = {});

// kAddressInUse: there is one already.
[[nodiscard]] Result<Fd> listen_as_vault(const std::string& name);
// Blocks for at most `patience`, and so does each call on what it returns.  kArgument: no name.
// kUnreachable: nobody listens. Nor does anybody who belongs to another user.
[[nodiscard]] Result<Fd> connect_to_vault(const std::string& name, Duration patience);

// Of the process at the other end: 0 where it cannot be told.
struct Other {
  bool same_user = false;
  uint32_t pid = 0;
};
Other other_end(const Fd& socket);

struct Packet {
  std::vector<std::byte> bytes;
  std::vector<Fd> fds;
};
// kPending: not now (or, of a blocking socket, not in time).  kClosed: the other side is gone.
[[nodiscard]] Status send_packet(const Fd& socket, ConstBytes bytes, std::span<const Fd> fds = {});
// As send_packet; kArgument: longer than any message is, or with more descriptors than there is
// room for.
[[nodiscard]] Result<Packet> receive_packet(const Fd& socket);

}  // namespace rhz::recovery
