// Who is in the run, as plain data.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

struct MemberInfo {
  PeerId id;
  Slot slot = kAnySlot;
  uint64_t host = 0;                   // equal on peers of one host
  std::vector<std::string> endpoints;  // data port, best first
  friend bool operator==(const MemberInfo&, const MemberInfo&) = default;
};

// Which digests of results that all members hold travel with the done-wave (O2).
enum class Verify : uint8_t {
  kOff = 0,
  kSampled = 1,  // of one page (4 KiB) in sixteen
  kAll = 2,      // of every byte
};

// What is the same for the whole run; logged first, told to every peer.
struct RunConfig {
  std::string run_id;
  uint32_t world = 1;      // peers that the first view waits for
  uint32_t max_world = 1;  // slots
  uint32_t min_world = 1;  // below it every op fails
  uint32_t chunk_bytes = 256u << 10;    // largest chunk
  uint32_t segment_bytes = 256u << 10;  // largest frame
  uint32_t retain_bytes = 256u << 10;   // results up to this size are released by rule (b)
  uint32_t heartbeat_ms = 100;
  uint32_t suspicion_ms = 1000;
  Verify verify = Verify::kSampled;
  bool protection = true;  // false: nothing is kept for a rebuild, as in other libraries; to show what it costs
  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};

struct View {
  Epoch epoch;
  std::vector<MemberInfo> members;  // by rising slot; the index is the rank
  std::string cause;                // one line: "peer in slot 2 lost (refused)", "joined: slot 2", …
  friend bool operator==(const View&, const View&) = default;

  uint32_t size() const { return static_cast<uint32_t>(members.size()); }
  // kNoRank when the peer is not a member.
  Rank rank_of(PeerId id) const {
    const auto at = std::find_if(members.begin(), members.end(),
                                 [&](const MemberInfo& m) { return m.id == id; });
    return at == members.end() ? kNoRank : Rank(static_cast<uint32_t>(at - members.begin()));
  }
  bool contains(PeerId id) const { return rank_of(id) != kNoRank; }
};

// The same question for who asks it with every frame or message: of a thousand members View::rank_of looks at half.
class RankIndex {
 public:
  RankIndex() = default;
  explicit RankIndex(const View& view) {
    ranks_.reserve(view.size());
    for (uint32_t r = 0; r < view.size(); ++r) ranks_.emplace_back(view.members[r].id, Rank(r));
    std::sort(ranks_.begin(), ranks_.end());
  }
  Rank rank_of(PeerId id) const {
    const auto at = std::lower_bound(ranks_.begin(), ranks_.end(), std::pair{id, Rank(0)});
    return at == ranks_.end() || at->first != id ? kNoRank : at->second;
  }
  bool contains(PeerId id) const { return rank_of(id) != kNoRank; }

 private:
  std::vector<std::pair<PeerId, Rank>> ranks_;  // by rising id
};

}  // namespace rhz
