// A lane's way out through a fabric.  Frames go there; heartbeats and GOODBYE, credits and the
// far side's end come and go on the connection, so that evidence of death never waits for the
// fabric.  Owner: PeerLink.  Progress thread only.
#pragma once

#include <array>
#include <vector>

#include "runtime/transport/fabric/flights.h"
#include "runtime/transport/fabric/introduction.h"
#include "runtime/transport/fabric/pump.h"
#include "runtime/transport/tcp/credited_outgoing.h"

namespace rhz::fabric {

class OutLane final : public tcp::CreditedOutgoing, private Sender {
 public:
  OutLane(tcp::Shared& shared, tcp::Edge& edge, std::shared_ptr<tcp::PeerAddresses> addresses,
          uint32_t number, Pump& pump, Flights& flights);
  ~OutLane() override { let_go(); }

  void quiesce() override;
  void release(GroupId group, OpSeq op) override;
  Time tick(Time now) override;

 private:
  void begin() override;
  void flush() override;
  void let_go() override;
  bool copies(const OutFrame&) const override;
  void credited() override;
  void landed(Flight& flight, bool ok) override;

  void hear();
  bool take_introduction();
  void say_beside(Beside what);
  bool room() const;
  void go_on();
  bool send_next();
  bool send_beside(const iovec& header);
  void send_small();
  void send_large(const iovec* pieces, size_t count);
  void launch(Flight& flight, std::span<const Fabric::Part> parts);
  void wrote(size_t bytes);

  Pump& pump_;
  Flights& flights_;
  const size_t message_bytes_;  // at most
  const size_t most_flights_;
  Link* link_ = nullptr;
  uint64_t tag_ = 0;
  std::vector<Flight*> under_way_;
  std::vector<std::byte> introduction_;  // what has come of it
};

}  // namespace rhz::fabric
