// Who has been silent for too long, as a step function (heartbeats: docs/protocol.md, "Time").
// It doubts itself first: when it was not run for a while it cannot know who spoke meanwhile.
#pragma once

#include <map>
#include <vector>

#include "runtime/base/types.h"

namespace rhz {

class FailureDetector {
 public:
  void set_suspicion(Duration suspicion) { suspicion_ = suspicion; }
  // The peers whose heartbeats are due here, from now on: at an install, since nothing was read of them while lanes were held.
  void watch(Time now, const std::vector<PeerId>& peers);
  void heard(Time now, PeerId peer);

  struct Silent {
    PeerId peer;
    Duration silence;
  };
  // Peers newly found silent, each once per silence; nobody while in doubt.  Call at least every suspicion / 4.
  std::vector<Silent> tick(Time now);
  // True while the detector's own pause may explain what it saw.
  bool self_doubt(Time now) const { return now < doubt_until_; }

 private:
  struct Watched {
    Time heard;
    bool accused = false;
  };
  Duration suspicion_ = milliseconds(1000);
  Time last_tick_ = Time::min();
  Time doubt_until_ = Time::min();
  std::map<PeerId, Watched> watched_;
};

}  // namespace rhz
