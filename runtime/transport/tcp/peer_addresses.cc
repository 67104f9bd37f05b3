#include "runtime/transport/tcp/peer_addresses.h"

#include <algorithm>
#include <cstring>

namespace rhz::tcp {

std::shared_ptr<PeerAddresses> PeerAddresses::make(Shared& shared,
                                                   std::vector<std::string> endpoints,
                                                   std::string_view scheme) {
  std::shared_ptr<PeerAddresses> self(new PeerAddresses(shared, std::move(endpoints)));
  for (const std::string& endpoint : self->endpoints_) {
    if (scheme_of(endpoint) != scheme) continue;
    const auto where = parse_address(endpoint.substr(scheme.size()));
    if (!where || where.value().host.empty() || where.value().port == 0) {
      ++self->missing_;
      continue;
    }
    if (auto numbers = resolve(where.value(), Lookup::kNumbersOnly)) {
      for (const SocketAddress& a : numbers.value()) self->addresses_.push_back(a);
    } else {
      self->names_.push_back(where.value());
      ++self->missing_;
    }
  }
  if (self->addresses_.size() > kMaxAddresses) self->addresses_.resize(kMaxAddresses);
  self->refresh();
  return self;
}

std::shared_ptr<PeerAddresses> PeerAddresses::of(Shared& shared, std::vector<std::string> endpoints,
                                                 std::vector<SocketAddress> addresses) {
  std::shared_ptr<PeerAddresses> self(new PeerAddresses(shared, std::move(endpoints)));
  self->addresses_ = std::move(addresses);
  return self;
}

void PeerAddresses::prefer(size_t index) {
  if (index > 0 && index < addresses_.size())
    std::rotate(addresses_.begin(), addresses_.begin() + static_cast<ptrdiff_t>(index),
                addresses_.begin() + static_cast<ptrdiff_t>(index) + 1);
}

void PeerAddresses::refresh() {
  if (!asking_ && !names_.empty()) ask_next();
}

// One name at a time; a name that is not found waits for the next refresh().
void PeerAddresses::ask_next() {
  asking_ = true;
  const HostPort name = names_.front();
  names_.erase(names_.begin());
  resolver_.async_resolve(
      name.host, std::to_string(name.port), asio::ip::tcp::resolver::numeric_service,
      [weak = weak_from_this(), name](asio::error_code error, const auto& found) {
        const auto self = weak.lock();
        if (!self) return;
        self->asking_ = false;
        if (error || found.empty()) {
          self->names_.push_back(name);
          return;
        }
        --self->missing_;
        for (const auto& entry : found) {
          if (self->addresses_.size() == kMaxAddresses) break;
          SocketAddress address;
          address.length = static_cast<socklen_t>(entry.endpoint().size());
          std::memcpy(&address.storage, entry.endpoint().data(), address.length);
          self->addresses_.push_back(address);
        }
        self->refresh();
      });
}

}  // namespace rhz::tcp
