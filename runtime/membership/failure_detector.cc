#include "runtime/membership/failure_detector.h"

#include <algorithm>

namespace rhz {

void FailureDetector::watch(Time now, const std::vector<PeerId>& peers) {
  watched_.clear();
  last_tick_ = now;
  for (PeerId peer : peers) watched_.emplace(peer, Watched{now});
}

void FailureDetector::heard(Time now, PeerId peer) {
  if (auto at = watched_.find(peer); at != watched_.end()) at->second = Watched{now};
}

std::vector<FailureDetector::Silent> FailureDetector::tick(Time now) {
  std::vector<Silent> silent;
  if (last_tick_ != Time::min() && now - last_tick_ > suspicion_ / 2) {
    // This process stood still.  What the others sent meanwhile waits in the sockets.
    const Duration gap = now - last_tick_;
    for (auto& [peer, watched] : watched_) watched.heard = std::min(now, watched.heard + gap);
    doubt_until_ = now + suspicion_ / 4;
  }
  last_tick_ = now;
  if (self_doubt(now)) return silent;
  for (auto& [peer, watched] : watched_) {
    if (watched.accused || now - watched.heard < suspicion_) continue;
    watched.accused = true;
    silent.push_back({peer, now - watched.heard});
  }
  return silent;
}

}  // namespace rhz
