// Everything that one process can live through, as a graph: a core is a step function, so what it
// has become follows from the events that it was given, and what it does upon the next one has to
// be found out once, whatever all the others have done meanwhile.
//
// To find out, a real process (a rig) is taken along the events from the start, or from where one
// of the last ones stands.
//
// Two histories are one when they consist of the same events in another order, sent the same on
// every channel, and left the same to be seen (Facts).  That they then go on alike is an assumption
// about the cores, for nobody compares all that they remember; `merge` off does without it.
#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "runtime/base/prng.h"
#include "tests/explore/event.h"

namespace rhz::explore {

using HistoryId = uint32_t;
inline constexpr HistoryId kHeld = ~0u;  // the event cannot happen yet
inline constexpr HistoryId kNoHistory = ~0u - 1;

inline uint64_t hash_of(const Event& e) {
  const uint64_t what = uint64_t{static_cast<uint8_t>(e.kind)} | uint64_t{e.peer} << 8 |
                        uint64_t{e.lane} << 16 | uint64_t{e.message} << 24;
  return mix64(mix64(what) ^ static_cast<uint64_t>(e.now.count()));
}

template <class Rig, class Facts>
class Histories {
 public:
  using Maker = std::function<std::unique_ptr<Rig>(HistoryId root)>;
  Histories(Maker make, bool merge) : make_(std::move(make)), merge_(merge) {}

  struct Step {
    HistoryId to = kHeld;
    Outs outs;
  };

  // A process that has just been made; `facts`: what is known of it then.
  HistoryId root(const Facts& facts) {
    all_.push_back({kNoHistory, {}, facts, 0, mix64(all_.size() + 77), {}});
    return static_cast<HistoryId>(all_.size() - 1);
  }
  const Step& step(HistoryId from, const Event& event);
  const Facts& facts(HistoryId at) const { return all_[at].facts; }
  HistoryId parent(HistoryId at) const { return all_[at].parent; }
  const Event& event(HistoryId at) const { return all_[at].event; }
  size_t size() const { return all_.size(); }
  uint64_t replays() const { return replays_; }

 private:
  static constexpr size_t kRigs = 32;
  static constexpr size_t kChannels = 9;  // peer and lane; the coordinator
  struct History {
    HistoryId parent;
    Event event;
    Facts facts;
    uint64_t events;  // which, in any order
    uint64_t begin;   // of which root
    std::array<uint64_t, kChannels> sent;
  };
  struct Live {
    HistoryId at = kNoHistory;
    std::unique_ptr<Rig> rig;
  };

  Live& live(HistoryId at);
  HistoryId add(HistoryId from, const Event& event, const Facts& facts, const Outs& outs);

  const Maker make_;
  const bool merge_;
  std::vector<History> all_;
  std::unordered_map<uint64_t, std::unordered_map<uint64_t, Step>> steps_;  // by history, by event
  std::unordered_map<uint64_t, HistoryId> alike_;
  std::array<Live, kRigs> live_;
  size_t oldest_ = 0;
  uint64_t replays_ = 0;
};

template <class Rig, class Facts>
auto Histories<Rig, Facts>::step(HistoryId from, const Event& event) -> const Step& {
  auto& known = steps_[from];
  const auto [at, fresh] = known.try_emplace(hash_of(event));
  Step& step = at->second;
  if (!fresh) return step;
  Live& one = live(from);
  if (!one.rig->feed(event, step.outs)) return step;
  step.to = one.at = add(from, event, one.rig->facts(), step.outs);
  return step;
}

// A process at this point of its life: one that is there, or a new one on the same way.
template <class Rig, class Facts>
auto Histories<Rig, Facts>::live(HistoryId at) -> Live& {
  for (Live& one : live_)
    if (one.at == at) return one;
  ++replays_;
  std::vector<const Event*> way;
  HistoryId root = at;
  for (; all_[root].parent != kNoHistory; root = all_[root].parent)
    way.push_back(&all_[root].event);
  Live& one = live_[oldest_++ % kRigs];
  one.rig = make_(root);
  Outs outs;
  for (auto event = way.rbegin(); event != way.rend(); ++event) one.rig->feed(**event, outs);
  one.at = at;
  return one;
}

template <class Rig, class Facts>
HistoryId Histories<Rig, Facts>::add(HistoryId from, const Event& event, const Facts& facts,
                                     const Outs& outs) {
  const History& before = all_[from];
  History next{from, event, facts, before.events + hash_of(event), before.begin, before.sent};
  for (const Out& out : outs) {
    const bool data = out.kind != Out::Kind::kWord && out.kind != Out::Kind::kEnd &&
                      out.kind != Out::Kind::kAppend;
    uint64_t& sent = next.sent[data ? 2u * out.peer + out.lane : 8u];
    sent = mix64(sent ^
                 mix64(uint64_t{out.message} << 32 | uint64_t{out.number} << 8 |
                       static_cast<uint8_t>(out.kind)) ^
                 (out.peer + 1u));
  }
  uint64_t key = mix64(next.events ^ mix64(next.begin));
  for (uint64_t sent : next.sent) key = mix64(key ^ sent);
  std::array<unsigned char, sizeof(Facts)> bytes;
  std::memcpy(bytes.data(), &facts, sizeof facts);
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
    key = mix64(key ^ word) + i;
  }
  if (!merge_) key = mix64(all_.size() + 0x51ed27u);
  const auto [at, fresh] = alike_.try_emplace(key, static_cast<HistoryId>(all_.size()));
  if (fresh) all_.push_back(next);
  return at->second;
}

}  // namespace rhz::explore
