// Makes a fabric go: in the loop, when it says that it has something to do, or from poll().  Hands
// what arrives to the lane that it is for.  One per transport.  Progress thread only.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "runtime/transport/fabric/fabric.h"
#include "runtime/transport/tcp/connection.h"
#include "runtime/transport/tcp/shared.h"

namespace rhz::fabric {

// A lane's end where pieces arrive.
class Receiver {
 public:
  virtual void take(const Piece& piece) = 0;  // keeps it
  virtual void work() = 0;                    // on what it was given; may end any lane
  virtual void fabric_renewed() = 0;          // its connection is over

 protected:
  ~Receiver() = default;
};

class Pump final : private Sink {
 public:
  Pump(AsioLoop& loop, std::unique_ptr<Fabric> fabric);
  ~Pump();

  Fabric& fabric() { return *fabric_; }
  // Before any lane: by whom it asks to be ticked.
  void use(tcp::Shared& shared) { shared_ = &shared; }
  // Lanes tick it.
  Time tick(Time now);

  // From now on what comes with this tag is for it.
  uint64_t add(Receiver& lane);
  void remove(uint64_t tag);
  // A peer went without a word: its last message may stand in everybody's way.
  void renew_soon();

  // Something was given to the fabric from outside a turn.
  void kick();
  Link* connect(std::span<const std::byte> address);
  void disconnect(Link* link);

  bool poll();
  bool arm();

 private:
  void arrived(const Piece& piece) override;
  bool turn();
  void work();
  void watch();
  bool rest();
  void later();
  void post(void (*call)(Pump&));
  void renew();

  AsioLoop& loop_;
  tcp::Shared* shared_ = nullptr;
  const std::unique_ptr<Fabric> fabric_;
  std::unordered_map<uint64_t, Receiver*> lanes_;
  std::vector<uint64_t> given_;  // tags of lanes that were given something in this turn
  std::vector<tcp::Connection> events_;
  unsigned watched_ = 0;  // the generation of descriptors that these are copies of
  uint64_t next_tag_ = 1;
  Time retry_at_ = kNever;
  bool armed_ = true;       // nobody polls
  bool scheduled_ = false;  // work() is on its way
  bool turning_ = false;
  bool renewal_due_ = false;
  std::shared_ptr<Pump*> alive_;  // for what the loop still holds when this is destroyed
};

}  // namespace rhz::fabric
