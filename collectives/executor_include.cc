// Mode include: a partial that holds the input of somebody who is gone goes on in the next epoch,
// and the dead count wherever their contribution had left them (docs/protocol.md, rule G).
#include <algorithm>

#include "collectives/executor.h"
#include "collectives/schedule/ring.h"
#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {
namespace {

using Fate = ChunkRun::Fate;

bool has(const std::vector<Slot>& rising, Slot slot) {
  return std::binary_search(rising.begin(), rising.end(), slot);
}

Slot slot_of(const Executor::Stage& stage, Rank rank) {
  return stage.view->members[rank.value].slot;
}

}  // namespace

// From which follows whose inputs a partial is made of: the ring's programs add them in its order.
void Executor::note_ring(const Stage& stage) {
  ring_.clear();
  if (!includes() || !stage.by_ring) return;
  for (Rank rank : stage.ring) ring_.push_back(slot_of(stage, rank));
}

// What lies here of a value that is not final; none where that is no more than the own input, or a
// part of a chunk.
Buffer Executor::partial_of(uint32_t c) const {
  const Chunk& chunk = chunks_[c];
  const bool begun = schedule_ != nullptr;  // an op that does not fit the view never is
  if (!begun || !includes() || chunks_.held(c) || layout_.segments(c) != 1) return {};
  if (chunk.resumed) return chunk.resumed;
  if (chunk.sent) return chunk.sent;
  const Progress& segment = progress_[c * layout_.most_segments()];
  const Program& steps = program(c);
  const auto own = std::find(steps.begin(), steps.end(), Step{Move::kOwn}) - steps.begin();
  return segment.has_value && segment.step > own ? segment.keep : Buffer();
}

// Rising; empty: the program says nothing of it.
std::vector<Slot> Executor::inputs_of_partial(uint32_t c) const {
  const Chunk& chunk = chunks_[c];
  std::vector<Slot> inputs;
  if (const auto& from = chunk.resumption) {
    inputs = from->inputs;
    const auto self = std::find(from->way.begin(), from->way.end(), self_);
    if (self == from->way.end()) return {};
    for (auto at = from->way.begin(); at <= self; ++at)
      if (!has(from->inputs, *at)) inputs.push_back(*at);
  } else {
    const auto n = static_cast<uint32_t>(ring_.size());
    for (uint32_t i = 0; i < n; ++i) {
      inputs.push_back(ring_[(c + i) % n]);
      if (inputs.back() == self_) break;
    }
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

std::vector<PartialRun> Executor::partial_runs(const std::vector<Slot>& alive) const {
  std::vector<PartialRun> runs;
  for (uint32_t c = 0; includes() && c < layout_.chunks; ++c) {
    if (!partial_of(c)) continue;
    std::vector<Slot> inputs = inputs_of_partial(c);
    if (std::includes(alive.begin(), alive.end(), inputs.begin(), inputs.end())) continue;
    if (!runs.empty() && runs.back().first + runs.back().count == c && runs.back().inputs == inputs)
      ++runs.back().count;
    else
      runs.push_back({c, 1, std::move(inputs)});
  }
  return runs;
}

// They are found before this epoch's progress takes their place.
std::vector<std::pair<uint32_t, Buffer>> Executor::partials_to_resume(
    const Stage& stage, const OpDecision* decision) const {
  std::vector<std::pair<uint32_t, Buffer>> partials;
  if (!decision) return partials;
  for (const ChunkRun& run : decision->runs) {
    if (run.fate != Fate::kResume || run.holders.front() != stage.self) continue;
    for (uint32_t c = run.first; c < run.first + run.count; ++c) {
      partials.emplace_back(c, partial_of(c));
      RHZ_ASSERT("G", partials.back().second && inputs_of_partial(c) == run.inputs);
    }
  }
  return partials;
}

std::vector<Rank> Executor::way_of(const Stage& stage, const ChunkRun& run) const {
  const Rank holder = run.holders.front();
  std::vector<Rank> way{holder};
  const auto n = static_cast<uint32_t>(stage.ring.size());
  const uint32_t at = position_in(stage.ring, holder);
  for (uint32_t i = 1; i < n; ++i) {
    const Rank rank = stage.ring[(at + i) % n];
    if (!has(run.inputs, slot_of(stage, rank)) || canary(Rule::kG)) way.push_back(rank);
  }
  return way;
}

std::shared_ptr<const Resumed> Executor::resumption_of(const Stage& stage,
                                                       const ChunkRun& run) const {
  if (run.inputs.empty()) return nullptr;
  auto made = std::make_shared<Resumed>();
  if (run.fate == Fate::kKeep) {
    made->departed = run.inputs;
    return made;
  }
  made->inputs = made->departed = run.inputs;
  for (Rank rank : stage.ring) std::erase(made->departed, slot_of(stage, rank));
  for (Rank rank : way_of(stage, run)) made->way.push_back(slot_of(stage, rank));
  return made;
}

}  // namespace rhz
