// What becomes of each chunk when an op begins, or begins again: kept, redone, dropped or emptied,
// and by which program.
#include <algorithm>
#include <cstring>

#include "collectives/executor.h"
#include "collectives/schedule/moving.h"
#include "runtime/base/assert.h"
#include "runtime/base/canary.h"
#include "runtime/memory/copy.h"

namespace rhz {

using Fate = ChunkRun::Fate;

namespace {
uint32_t index_of(const Program& program, std::vector<Program>& programs) {
  const auto at = std::find(programs.begin(), programs.end(), program);
  const auto index = static_cast<uint32_t>(at - programs.begin());
  if (at == programs.end()) programs.push_back(program);
  return index;
}
}  // namespace

std::vector<Rank> Executor::ranks_of(const Stage& stage, const Whom& whom) const {
  std::vector<Rank> ranks;
  for (Rank rank : stage.ring)
    if (whom.has(stage.view->members[rank.value].slot)) ranks.push_back(rank);
  return ranks;
}

Program Executor::program_for(const Stage& stage, uint32_t chunk, const ChunkRun& run) const {
  const uint32_t block = layout_.block_of(chunk);
  const std::vector<Rank> needers = ranks_of(stage, blocks_.needers(block));
  if (needers.empty() || run.fate == Fate::kDrop || run.fate == Fate::kEmpty) return {};
  if (run.fate == Fate::kResume) return make_resume(stage.ring, stage.self, way_of(stage, run));
  if (run.fate == Fate::kKeep)
    return make_carry(stage.ring, stage.self, run.holders, needers, stage.direct);
  if (is_uniform(blocks_.kind)) return stage.schedule->of(chunk);
  if (has_many_sources(blocks_.kind)) return make_chain(stage.ring, stage.self, needers.front());
  return make_carry(stage.ring, stage.self, ranks_of(stage, blocks_.sources(block)), needers,
                    stage.direct);
}

void Executor::plan(const Stage& stage, const OpDecision* decision) {
  const bool cycles = is_uniform(blocks_.kind);  // of programs; other chunks' depend on their block
  const ChunkRun all{0, layout_.chunks, {}, {}};
  if (cycles && (!decision || decision->runs.empty())) {
    schedule_ = stage.schedule;
    const auto period = static_cast<uint32_t>(schedule_->programs.size());
    for (uint32_t c = 0; c < layout_.chunks; ++c) plan_chunk(stage, c, all, c % period);
    return;
  }
  auto schedule = std::make_shared<Schedule>();
  schedule_ = schedule;
  std::vector<ChunkRun> runs = decision ? decision->runs : std::vector<ChunkRun>{};
  if (runs.empty()) runs.push_back(all);
  for (const ChunkRun& run : runs) {
    const auto period = static_cast<uint32_t>(
        cycles && run.fate == Fate::kRedo ? stage.schedule->programs.size() : 1);
    const std::shared_ptr<const Resumed> resumption = resumption_of(stage, run);
    std::vector<uint32_t> programs;
    uint32_t block = layout_.blocks;
    for (uint32_t c = run.first; c < run.first + run.count && c < layout_.chunks; ++c) {
      if (programs.size() < period || layout_.block_of(c) != block) {
        if (layout_.block_of(c) != block) programs.clear();
        block = layout_.block_of(c);
        programs.push_back(index_of(program_for(stage, c, run), schedule->programs));
      }
      plan_chunk(stage, c, run, programs[(c - run.first) % programs.size()]);
      if (resumption && !chunks_.held(c)) chunks_[c].resumption = resumption;
    }
  }
}

void Executor::plan_chunk(const Stage& stage, uint32_t c, const ChunkRun& run, uint32_t program) {
  Chunk& chunk = chunks_[c];
  const bool keep = run.fate == Fate::kKeep;
  const bool holder =
      keep && std::find(run.holders.begin(), run.holders.end(), stage.self) != run.holders.end();
  RHZ_ASSERT("L1", !holder || chunk.lineage == run.lineage);
  if (!holder && !is_source(c)) {
    // Rule D.  In place the input went when the value came: only a mode that keeps what is held may
    // be without it.
    RHZ_ASSERT("H", !chunks_.held(c) || !overwrites_input(c) || keeps_originals(c) ||
                        run.fate != Fate::kRedo);
    if (!canary(Rule::kD)) discard(c);
    if (!chunks_.held(c)) chunk.resumption.reset();
  }
  if (run.fate == Fate::kRedo && restarted_) redone_bytes_ += layout_.chunk_bytes(c);
  chunk.due = keep ? run.lineage : epoch_;
  chunk.program = program;
  if (is_source(c) && !chunks_.held(c)) keep_own_block(c);
  if (is_source(c) && run.fate == Fate::kRedo) chunks_.make_anew(c, epoch_);
  if (run.fate == Fate::kEmpty && needs(c)) {
    for (uint32_t s = 0; s < layout_.segments(c); ++s)
      if (const Place at = place(c, s); at.bytes > 0) std::memset(at.recv, 0, at.bytes);
    chunk.empty = true;
    hold(c, epoch_);
  }
}

// The one source holds its chunk from the beginning, and gives itself what it needs of it.
void Executor::keep_own_block(uint32_t c) {
  const auto copy = cold_ ? copy_past_caches : copy_through_caches;
  for (uint32_t s = 0; needs(c) && s < layout_.segments(c); ++s)
    if (const Place at = place(c, s); at.bytes > 0 && at.recv != at.send) copy(at.recv, at.send, at.bytes);
  hold(c, epoch_);
}

void Executor::hold(uint32_t c, Epoch lineage) {
  chunks_.hold(c, lineage);
  // A value with one source says nothing of others.
  if (has_many_sources(blocks_.kind)) proven_ = std::max(proven_, chunks_[c].upto);
  // Now, while it is in the cache.
  if (sample_.any() && participants_ > 1)
    chunks_[c].digest = sample_.digest_of(c, held_value(place(c, 0)));
  if (needs(c)) ++needed_held_;
}

void Executor::discard(uint32_t c) {
  if (!chunks_.held(c)) return;
  chunks_.discard(c);
  if (!needs(c)) return;
  --needed_held_;
  remade_ |= c < told_chunks_ && !canary(Rule::kOutput);  // W15
}

}  // namespace rhz
