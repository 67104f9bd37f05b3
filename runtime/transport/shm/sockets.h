// Unix sockets in the abstract namespace: names, who is there, and the few bytes that lanes send.
// Nothing here blocks.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/transport/tcp/address.h"
#include "runtime/transport/tcp/socket.h"

namespace rhz::shm {

// What the connection of a lane carries behind the handshake: one byte each.
enum class Word : char {
  kMemory =
      'M',  // sender → receiver, with a descriptor: first of the lane's memory, then of blocks
  kWake = 'W',     // both ways: the other one slept
  kGoodbye = 'G',  // receiver → sender
};

std::string endpoint_of(uint64_t run_hash, PeerId self);
// Empty: no endpoint of this transport.
std::optional<tcp::SocketAddress> address_of(std::string_view endpoint);
[[nodiscard]] Result<tcp::Listener> listen_at(std::string_view endpoint);

struct Credentials {
  pid_t pid = 0;  // as this process sees it; 0: it does not
  uid_t uid = 0;
};
// Of the process at the other end.
std::optional<Credentials> credentials_of(int fd);
bool same_user(int fd);

// Best effort: a full socket means that the other side has bytes to wake up from.
void say(int fd, Word word);
// With a descriptor.  False: the connection is over.
[[nodiscard]] bool send_memory(int fd, int memory);

struct Heard {
  bool ended = false;  // EOF or an error
  bool goodbye = false;
  bool nonsense = false;
};
// All that has come.  `memory` takes each descriptor; false ends the listening as nonsense.
Heard listen_to(int fd, const std::function<bool(int)>& memory);

}  // namespace rhz::shm
