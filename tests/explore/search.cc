#include "tests/explore/search.h"

#include <cstdio>
#include <cstring>
#include <memory>

#include "runtime/base/prng.h"
#include "tests/explore/oracles.h"

namespace rhz::explore {
namespace {

constexpr Duration kPatience =
    std::chrono::seconds(7);  // of a run's own time: then nothing will ever happen

// Hashes of the states that were met: 64 bits each, so that two of n states are taken for one with
// a chance of n² / 2⁶⁵, one in a hundred thousand for 20 million.
class Met {
 public:
  Met() : slots_(size_t{1} << 16, 0) {}
  bool add(uint64_t hash) {
    hash = hash == 0 ? 1 : hash;
    if (2 * ++count_ > slots_.size()) grow();
    if (put(hash)) return true;
    --count_;
    return false;
  }

 private:
  bool put(uint64_t hash) {
    size_t at = hash & (slots_.size() - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1))
      if (slots_[at] == hash) return false;
    slots_[at] = hash;
    return true;
  }
  void grow() {
    std::vector<uint64_t> old(2 * slots_.size(), 0);
    std::swap(old, slots_);
    for (uint64_t hash : old)
      if (hash != 0) put(hash);
  }
  std::vector<uint64_t> slots_;
  size_t count_ = 0;
};

uint64_t hash_of(const State& state) {
  std::array<uint64_t, sizeof(State) / 8> words;
  static_assert(sizeof(State) % 8 == 0);
  std::memcpy(words.data(), &state, sizeof state);
  uint64_t hash = 0;
  for (uint64_t word : words) hash = mix64(hash ^ word) + 0x9e3779b97f4a7c15ull;
  return hash;
}

class Search {
 public:
  explicit Search(const Options& options) : options_(options), run_(options) { now_ = this; }
  ~Search() { now_ = nullptr; }

  Found all() {
    enter(run_.initial());
    while (!way_.empty() && found_.violation.empty()) {
      Place& here = way_.back();
      if (here.next == here.moves.size()) {
        way_.pop_back();
        continue;
      }
      const Move& move = here.moves[here.next++];
      ++found_.steps;
      enter(run_.after(here.state, move));
    }
    found_.numbers = run_.numbers();
    return std::move(found_);
  }

  std::vector<std::string> way() const {
    std::vector<std::string> way;
    for (const Place& place : way_)
      if (place.next > 0) way.push_back(run_.text(place.state, place.moves[place.next - 1]));
    return way;
  }
  static inline const Search* now_ = nullptr;

 private:
  struct Place {
    State state;
    std::vector<Move> moves;
    size_t next = 0;
  };

  void enter(const State& state) {
    if (!met_.add(hash_of(state))) return;
    ++found_.states;
    found_.deepest = std::max<uint64_t>(found_.deepest, way_.size());
    if (const std::string what = violation_in(options_, run_, state); !what.empty())
      return violate(state, what);
    if (found_.states >= options_.most_states || way_.size() >= options_.most_steps) {
      found_.complete = false;
      return;
    }
    Place place{state, {}, 0};
    run_.moves(state, place.moves);
    const bool quiet = run_.is_quiet(state);
    if (place.moves.empty()) {
      if (quiet) return end(state);
      if (!run_.can_wait(state) || Time(state.now) >= kBegin + kPatience)
        return violate(state, "O5: an op never ends");
      place.moves.push_back({Move::Kind::kWait, 0, 0, {}});
    }
    if (!quiet) run_.faults(state, place.moves);
    way_.push_back(std::move(place));
  }

  void end(const State& state) {
    ++found_.ends;
    found_.outcomes.insert(outcome_of(options_, run_, state));
  }

  void violate(const State& state, const std::string& what) {
    found_.violation = what;
    found_.way = way();
    found_.there = run_.text(state);
  }

  const Options options_;
  Run run_;
  Met met_;
  std::vector<Place> way_;
  Found found_;
};

}  // namespace

Found search(const Options& options) {
  const auto search = std::make_unique<Search>(options);
  return search->all();
}

void print_way() {
  if (!Search::now_) return;
  for (const std::string& step : Search::now_->way()) std::printf("  %s\n", step.c_str());
}

}  // namespace rhz::explore
