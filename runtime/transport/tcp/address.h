// "HOST:PORT" and "[V6]:PORT": parsing, resolving, printing.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/status.h"

namespace rhz::tcp {

struct HostPort {
  std::string host;  // empty: every interface
  uint16_t port = 0;
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  uint16_t port() const;
  void set_port(uint16_t port);
  bool is_any() const;                               // the wildcard
  bool is_loopback() const;                          // including IPv4 addresses mapped to IPv6
  bool same_host(const SocketAddress& other) const;  // equal but for the port
  std::string text() const;                          // "HOST:PORT" or "[V6]:PORT"
};

[[nodiscard]] Result<HostPort> parse_address(std::string_view text);
// "[::1]", 7400 → "[::1]:7400".
std::string address_text(const std::string& host, uint16_t port);

enum class Lookup : uint8_t {
  kNumbersOnly,  // never blocks; kArgument when `host` is a name
  kNames,        // asks the system's resolver, which may block
};
[[nodiscard]] Result<std::vector<SocketAddress>> resolve(const HostPort& where, Lookup lookup);

// Addresses of this host that others can reach; loopback only when there are no others.
std::vector<SocketAddress> interface_addresses(bool with_ipv6);

}  // namespace rhz::tcp
