#include "runtime/transport/tcp/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace rhz::tcp {
namespace {

const sockaddr_in& v4(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in&>(address.storage);
}
const sockaddr_in6& v6(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in6&>(address.storage);
}

SocketAddress from(const sockaddr* address, socklen_t length) {
  SocketAddress copy;
  std::memcpy(&copy.storage, address, length);
  copy.length = length;
  return copy;
}

Status bad_address(std::string_view text) {
  return {Code::kArgument,
          "'" + std::string(text) + "' is no address: write HOST:PORT, [IPV6]:PORT or :PORT"};
}

}  // namespace

uint16_t SocketAddress::port() const {
  return ntohs(family() == AF_INET6 ? v6(*this).sin6_port : v4(*this).sin_port);
}

void SocketAddress::set_port(uint16_t port) {
  if (family() == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
  }
}

bool SocketAddress::is_any() const {
  return family() == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&v6(*this).sin6_addr)
                              : v4(*this).sin_addr.s_addr == htonl(INADDR_ANY);
}

bool SocketAddress::is_loopback() const {
  if (family() == AF_INET) return ntohl(v4(*this).sin_addr.s_addr) >> 24 == 127;
  const in6_addr& host = v6(*this).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&host) || (IN6_IS_ADDR_V4MAPPED(&host) && host.s6_addr[12] == 127);
}

bool SocketAddress::same_host(const SocketAddress& other) const {
  if (family() != other.family()) return false;
  if (family() == AF_INET) return v4(*this).sin_addr.s_addr == v4(other).sin_addr.s_addr;
  return family() == AF_INET6 && IN6_ARE_ADDR_EQUAL(&v6(*this).sin6_addr, &v6(other).sin6_addr);
}

std::string SocketAddress::text() const {
  char host[NI_MAXHOST] = "?";
  (void)getnameinfo(get(), length, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return address_text(host, port());
}

Result<HostPort> parse_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad_address(text);
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  HostPort parsed;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), parsed.port);
  if (error != std::errc() || end != digits.data() + digits.size()) return bad_address(text);
  if (host.starts_with('[') && host.ends_with(']') && host.size() > 2) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find_first_of(":[]") != std::string_view::npos) {
    return bad_address(text);  // an IPv6 address without its brackets
  }
  if (host == "*") host = {};
  parsed.host = host;
  return parsed;
}

std::string address_text(const std::string& host, uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<std::vector<SocketAddress>> resolve(const HostPort& where, Lookup lookup) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  if (lookup == Lookup::kNumbersOnly) hints.ai_flags |= AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(where.port);
  const char* host = where.host.empty() ? nullptr : where.host.c_str();
  if (const int error = getaddrinfo(host, port.c_str(), &hints, &found); error != 0) {
    return Status(Code::kArgument, "cannot find the host of '" +
                                       address_text(where.host, where.port) +
                                       "': " + gai_strerror(error));
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* a = found; a; a = a->ai_next)
    addresses.push_back(from(a->ai_addr, a->ai_addrlen));
  freeaddrinfo(found);
  return addresses;
}

std::vector<SocketAddress> interface_addresses(bool with_ipv6) {
  ifaddrs* found = nullptr;
  if (getifaddrs(&found) != 0) return {};
  std::vector<SocketAddress> outer, inner;
  for (const ifaddrs* i = found; i; i = i->ifa_next) {
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP)) continue;
    const int family = i->ifa_addr->sa_family;
    if (family != AF_INET && !(family == AF_INET6 && with_ipv6)) continue;
    const SocketAddress address =
        from(i->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    // Link-local addresses mean nothing on another host.
    if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6(address).sin6_addr)) continue;
    (address.is_loopback() ? inner : outer).push_back(address);
  }
  freeifaddrs(found);
  auto& chosen = outer.empty() ? inner : outer;
  std::stable_sort(chosen.begin(), chosen.end(),
                   [](const auto& a, const auto& b) { return a.family() < b.family(); });
  return chosen;
}

}  // namespace rhz::tcp
