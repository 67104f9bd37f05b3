#include "api/src/reach.h"

#include "runtime/transport/tcp/control_client.h"

namespace rhz {

Result<std::vector<tcp::SocketAddress>> coordinator_addresses(const std::string& coordinator) {
  const auto where = tcp::parse_address(coordinator);
  if (!where) {
    return Status(Code::kArgument, "the coordinator's address \"" + coordinator +
                                       "\" is no HOST:PORT: " + where.status().text());
  }
  auto addresses = tcp::resolve(where.value(), tcp::Lookup::kNames);
  if (!addresses || addresses.value().empty()) {
    return Status(Code::kUnreachable, "the coordinator's host \"" + where.value().host +
                                          "\" has no address: " + addresses.status().text());
  }
  return addresses;
}

std::string with_port(const std::string& host_or_address) {
  // An IPv6 address stands in brackets when it has a port.
  if (tcp::parse_address(host_or_address)) return host_or_address;
  const bool bracketed = host_or_address.starts_with('[') && host_or_address.ends_with(']');
  return tcp::address_text(
      bracketed ? host_or_address.substr(1, host_or_address.size() - 2) : host_or_address, 0);
}

std::string where_to_listen(const std::string& listen, const tcp::SocketAddress& coordinator) {
  if (!listen.empty()) return with_port(listen);
  const std::string side = tcp::local_host_towards(coordinator);
  return with_port(side.empty() ? "127.0.0.1" : side);
}

}  // namespace rhz
