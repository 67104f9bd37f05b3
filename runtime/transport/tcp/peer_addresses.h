// Where one peer can be reached: its endpoints, resolved.  Numbers at once, names in the
// background.  Progress thread only.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

// Behind the standard library: Asio's configuration looks at what that has defined.
#include <asio/ip/tcp.hpp>

#include "runtime/transport/tcp/address.h"
#include "runtime/transport/tcp/shared.h"

namespace rhz::tcp {

class PeerAddresses : public std::enable_shared_from_this<PeerAddresses> {
 public:
  // Of the endpoints, those that begin with `scheme`; others are other transports'.
  static std::shared_ptr<PeerAddresses> make(Shared& shared, std::vector<std::string> endpoints,
                                             std::string_view scheme = {});

  // Where the addresses are known already.
  static std::shared_ptr<PeerAddresses> of(Shared& shared, std::vector<std::string> endpoints,
                                           std::vector<SocketAddress> addresses);

  const std::vector<std::string>& endpoints() const { return endpoints_; }
  // Best first.
  const std::vector<SocketAddress>& list() const { return addresses_; }
  // No endpoint is missing from the list: if all of it refuses, the peer is gone.
  bool complete() const { return missing_ == 0 && !addresses_.empty(); }
  // This one answered: it is tried first from now on.
  void prefer(size_t index);
  // Asks again for the names that were not found.
  void refresh();

 private:
  PeerAddresses(Shared& shared, std::vector<std::string> endpoints)
      : endpoints_(std::move(endpoints)), resolver_(shared.loop.context()) {}
  void ask_next();

  static constexpr size_t kMaxAddresses = 16;
  std::vector<std::string> endpoints_;
  std::vector<SocketAddress> addresses_;
  std::vector<HostPort> names_;  // not resolved yet
  size_t missing_ = 0;           // endpoints without an address
  bool asking_ = false;
  asio::ip::tcp::resolver resolver_;
};

}  // namespace rhz::tcp
