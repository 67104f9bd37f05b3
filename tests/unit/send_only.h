// A transport for cores that are wired in memory.
#pragma once

#include "runtime/transport/transport.h"

namespace rhz {

// Leaves all but send() undone: frames are the business of the test.
struct SendOnly : Transport {
  void set_events(TransportEvents*) override {}
  std::vector<std::string> endpoints() const override { return {}; }
  void set_peers(std::span<const PeerAddress>, std::span<const PeerId>) override {}
  bool quiesce() override { return true; }
  void release_op(GroupId, OpSeq) override {}
  bool reads(GroupId, OpSeq) override { return false; }
  void resume() override {}
  void close(Time, std::function<void()>) override {}
  Time tick(Time) override { return kNever; }
  TransportCounters counters() const override { return {}; }
};

}  // namespace rhz
