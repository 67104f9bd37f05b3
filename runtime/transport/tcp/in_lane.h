// A lane's way in over TCP: reads frames, lands payloads, returns credits.  Owner: PeerLink.
// Progress thread only.
#pragma once

#include <vector>

#include "runtime/transport/tcp/credited_incoming.h"

namespace rhz::tcp {

class InLane final : public CreditedIncoming {
 public:
  InLane(Shared& shared, Edge& edge, uint32_t number, uint64_t generation,
         std::function<void()> lost);

  void attach(Connection&& connection) override;

 private:
  void read();
  ssize_t receive(size_t& wanted);
  bool digest();
  void land_buffered();
  void go_on() override;
  void drop_connection() override;

  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;  // unread bytes of buffer_
};

}  // namespace rhz::tcp
