// How much is asked for and not answered, of each vault and of all.  Plain data, one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "recovery/shards/shard_sender.h"

namespace rhz::recovery {

class AskWindow {
 public:
  explicit AskWindow(SendWindow window) : window_(window) {}
  // Counts it, where there is room.
  bool take(PeerId vault, uint64_t bytes) {
    uint64_t& mine = by_vault_[vault];
    if (all_ > 0 &&
        (all_ + bytes > window_.all_bytes || (mine > 0 && mine + bytes > window_.vault_bytes)))
      return false;
    mine += bytes;
    all_ += bytes;
    return true;
  }
  void give_back(PeerId vault, uint64_t bytes) {
    const auto at = by_vault_.find(vault);
    if (at == by_vault_.end()) return;
    bytes = std::min(bytes, at->second);
    at->second -= bytes;
    all_ -= bytes;
  }
  void lost(PeerId vault) {
    const auto at = by_vault_.find(vault);
    if (at == by_vault_.end()) return;
    all_ -= at->second;
    by_vault_.erase(at);
  }

 private:
  SendWindow window_;
  std::map<PeerId, uint64_t> by_vault_;
  uint64_t all_ = 0;
};

// What a request, or its answer, counts for in the window.
inline uint64_t window_bytes(const VaultRequest& r) {
  return r.verb == VaultVerb::digests ? sizeof(Digest) : r.length;
}

}  // namespace rhz::recovery
