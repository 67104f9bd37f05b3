#include "runtime/transport/tcp/listening.h"

#include "runtime/transport/tcp/handshake.h"

namespace rhz::tcp {
namespace {

// A name may be one that only others can resolve.
Status check_advertised(const std::string& text) {
  const auto where = parse_address(text);
  if (!where) return where.status();
  const auto numbers = resolve(where.value(), Lookup::kNumbersOnly);
  const bool everywhere = where.value().host.empty() ||
                          (numbers && !numbers.value().empty() && numbers.value().front().is_any());
  if (!everywhere) return Status::ok();
  return {Code::kArgument,
          "'" + text + "' cannot be advertised: others need one address of this host"};
}

}  // namespace

std::vector<std::string> endpoints_of(const TcpOptions& options, const SocketAddress& bound) {
  std::vector<std::string> endpoints;
  for (const std::string& text : options.advertise) {
    const auto where = parse_address(text);
    const bool any_port = where && where.value().port == 0;
    endpoints.push_back(any_port ? address_text(where.value().host, bound.port()) : text);
  }
  if (!endpoints.empty()) return endpoints;
  if (!bound.is_any()) return {bound.text()};
  for (SocketAddress address : interface_addresses(bound.family() == AF_INET6)) {
    address.set_port(bound.port());
    endpoints.push_back(address.text());
  }
  return endpoints;
}

Result<Listener> listen_for_lanes(const TcpOptions& options) {
  if (options.bulk_lanes == 0 || options.bulk_lanes >= kMaxLanes)
    return Status(Code::kArgument, "bulk_lanes must be 1 to 15");
  for (const std::string& text : options.advertise)
    if (Status status = check_advertised(text); !status) return status;
  return listen_on(options);
}

}  // namespace rhz::tcp
