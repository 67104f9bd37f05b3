// Messages that a lane has given to the fabric.  They may outlive their lane, and are used again.
// Owned by the transport, outlives the fabric.  Progress thread only.
#pragma once

#include <memory>
#include <vector>

#include "runtime/memory/buffer.h"
#include "runtime/transport/fabric/fabric.h"
#include "runtime/wire/frame.h"

namespace rhz::fabric {

class Flights;
struct Flight;

class Sender {
 public:
  virtual void landed(Flight& flight, bool ok) = 0;

 protected:
  ~Sender() = default;
};

struct Flight final : Request {
  void ended(bool ok) override;

  Flights* home = nullptr;
  Sender* sender = nullptr;  // null: nobody waits for it
  wire::HeaderBytes header;  // of the frame, where that is sent with it
  Buffer keep;               // of the payload, or of the whole message
  bool lent = false;         // reads the caller's memory, for this op
  GroupId group;
  OpSeq op;
};

class Flights {
 public:
  Flight& take(Sender& sender) {
    if (idle_.empty()) {
      all_.push_back(std::make_unique<Flight>());
      all_.back()->home = this;
      idle_.push_back(all_.back().get());
    }
    Flight& flight = *idle_.back();
    idle_.pop_back();
    flight.sender = &sender;
    flight.lent = false;
    return flight;
  }
  void put_back(Flight& flight) {
    flight.keep.reset();
    flight.sender = nullptr;
    idle_.push_back(&flight);
  }

 private:
  std::vector<std::unique_ptr<Flight>> all_;  // as many as were ever under way at a time
  std::vector<Flight*> idle_;
};

inline void Flight::ended(bool ok) {
  Sender* const waits = sender;
  lent = false;
  if (waits) waits->landed(*this, ok);
  home->put_back(*this);
}

}  // namespace rhz::fabric
