#include "tests/explore/oracles.h"

namespace rhz::explore {
namespace {

constexpr uint16_t kWell = 1 + static_cast<int>(Code::kOk);
constexpr uint16_t kOut = 1 + static_cast<int>(Code::kEvicted);

std::string name(uint32_t peer) { return "p" + std::to_string(peer); }

std::string set_text(uint8_t set) {
  std::string text;
  for (uint32_t p = 0; p < kMaxPeers; ++p)
    if (set >> p & 1) text += std::to_string(p);
  return text;
}

class Look {
 public:
  Look(const Options& options, const Run& run, const State& state)
      : options_(options), run_(run), state_(state), coordinator_(run.coordinator(state)) {}

  std::string violation() const {
    if (coordinator_.complaint) return "C1: what is not in the log was told";
    for (uint32_t p = 0; p < options_.peers; ++p) {
      const PeerFacts& peer = run_.facts(state_, p);
      if (peer.complaint) return complaint_text(peer.complaint) + ", at " + name(p);
      for (uint32_t k = 0; k < options_.ops; ++k) {
        if (std::string text = contributors(p, k); !text.empty()) return text;
        for (uint32_t q = 0; q < p; ++q) {
          if (std::string text = released(p, q, k); !text.empty()) return text;
          if (std::string text = lineages(p, q, k); !text.empty()) return text;
        }
      }
    }
    return "";
  }

 private:
  const OpFacts& op(uint32_t p, uint32_t k) const { return run_.facts(state_, p).op[k]; }

  // O3, of a peer that has just returned it or is still in the epoch in which it did.
  std::string contributors(uint32_t p, uint32_t k) const {
    const OpFacts& own = op(p, k);
    if (own.returned != kWell) return "";
    uint8_t begun = 0;
    for (uint32_t q = 0; q < options_.peers; ++q)
      begun |= static_cast<uint8_t>(op(q, k).begun << q);
    for (uint32_t c = 0; c < options_.chunks; ++c) {
      // Mode include: and those whose partial went on in that epoch without them.
      const uint8_t members = coordinator_.view[own.made[c]], left = own.left[c];
      if (left & members || (left && options_.mode != RebuildMode::kInclude))
        return "O3: of a chunk that " + name(p) + " returns somebody counts as gone who is not";
      if (own.from[c] != (members | left))
        return "O3: " + name(p) +
               " names other contributors of a chunk than the members of its epoch";
      if (own.from[c] & ~begun) return "O3: " + name(p) + " names somebody who never began the op";
      if (options_.mode == RebuildMode::kStrict && own.from[c] != own.from[0])
        return "O3: strict, and chunks differ in their contributors, at " + name(p);
    }
    return "";
  }

  // O1: rule a, whoever is evicted; rule b, members of the newest view.
  std::string released(uint32_t p, uint32_t q, uint32_t k) const {
    const OpFacts &a = op(p, k), &b = op(q, k);
    if (!counts(p, a) || !counts(q, b)) return "";
    const std::string which = ": op " + std::to_string(k) + " at " + name(q) + " and " + name(p);
    if (a.returned != b.returned) return "O1: ended with two codes" + which;
    if (a.returned == kWell && (a.from != b.from || a.made != b.made || a.left != b.left))
      return "O1: returned with two lineages" + which;
    return "";
  }

  bool counts(uint32_t p, const OpFacts& op) const {
    if (op.returned == 0 || op.returned == kOut) return false;
    return !options_.retain || run_.is_member(state_, p);
  }

  // L1: members of the newest view hold one lineage per chunk.
  std::string lineages(uint32_t p, uint32_t q, uint32_t k) const {
    for (uint32_t who : {p, q})
      if (!run_.is_member(state_, who) || !run_.is_running(state_, who)) return "";
    for (uint32_t c = 0; c < options_.chunks; ++c) {
      const OpFacts &a = op(p, k), &b = op(q, k);
      const bool alike = a.held[c] == b.held[c] && a.held_left[c] == b.held_left[c];
      if (a.held[c] && b.held[c] && !alike)
        return "L1: " + name(q) + " and " + name(p) + " hold two lineages of a chunk";
    }
    return "";
  }

  const Options& options_;
  const Run& run_;
  const State& state_;
  const CoordinatorFacts& coordinator_;
};

}  // namespace

std::string violation_in(const Options& options, const Run& run, const State& state) {
  return Look(options, run, state).violation();
}

std::string outcome_of(const Options& options, const Run& run, const State& state) {
  std::string text;
  for (uint32_t k = 0; k < options.ops; ++k) {
    for (uint32_t p = 0; p < options.peers; ++p) {
      const OpFacts& op = run.facts(state, p).op[k];
      const bool known = !options.retain || (run.is_member(state, p) && !state.is_crashed(p));
      text += p > 0 ? " " : k > 0 ? " / " : "";
      if (!known || op.returned == 0 || op.returned == kOut)
        text += "-";
      else if (op.returned != kWell)
        text += "abort";
      else
        for (uint32_t c = 0; c < options.chunks; ++c)
          text += (c > 0 ? "|" : "") + set_text(op.from[c]);
    }
  }
  return text;
}

}  // namespace rhz::explore
