// What an executor begins with, what it accepts, and what it gives back.  executor_steps.cc walks the programs.
#include "collectives/executor.h"

#include <algorithm>
#include <cstring>

#include "collectives/schedule/ring.h"
#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {

using wire::FrameHeader;
using wire::Kind;

Executor::Executor(OpSeq seq, const OpSpec& spec, const Layout& layout, bool retain,
                   BufferPool& pool, Outbox& outbox)
    : seq_(seq),
      spec_(spec),
      layout_(layout),
      retain_(retain),
      pool_(pool),
      outbox_(outbox),
      kernels_(reduce::kernels_for(spec.dtype, spec.redop)),
      chunks_(layout.chunks) {}

bool Executor::prepare() {
  if (retain_ && layout_.bytes() > 0) retained_ = pool_.take(layout_.bytes());
  return !retain_ || layout_.bytes() == 0 || retained_;
}

Executor::Place Executor::place(uint32_t chunk, uint32_t segment) const {
  const uint64_t count = layout_.segment_count(chunk, segment);
  return {chunk, segment, layout_.segment_offset(chunk, segment) * layout_.element_bytes,
          count * layout_.element_bytes, count};
}

const std::byte* Executor::input(const Place& at) const {
  const Chunk& chunk = chunks_[at.chunk];
  if (!chunk.original) return spec_.send + at.offset;
  return chunk.original.data() +
         (at.offset - layout_.chunk_offset(at.chunk) * layout_.element_bytes);
}

std::byte* Executor::result(const Place& at) const {
  return (retained_ ? retained_.data() : spec_.recv) + at.offset;
}

uint32_t Executor::add_program(const Program& program) {
  for (uint32_t i = 0; i < programs_.size(); ++i)
    if (programs_[i] == program) return i;
  programs_.push_back(program);
  return static_cast<uint32_t>(programs_.size() - 1);
}

void Executor::start(Epoch epoch, Rank self, const std::vector<Rank>& ring, const Schedule& schedule,
                     const OpDecision* decision) {
  RHZ_ASSERT("W7", !running_ && epoch > epoch_);
  restarted_ = epoch_ != Epoch(0);
  epoch_ = epoch;
  running_ = true;
  participants_ = static_cast<uint32_t>(ring.size());
  chunks_.forget_progress();
  progress_.assign(size_t{layout_.chunks} * layout_.segments(0), {});
  early_.clear();
  blocked_.clear();
  granted_.clear();
  next_origin_ = 0;
  outstanding_ = 0;
  plan(decision, self, ring, schedule);
  // Chunks whose way begins here wait for originate().
  for (uint32_t c = 0; c < layout_.chunks; ++c) {
    if (originates(program(c))) continue;
    chunks_[c].begun = true;
    for (uint32_t s = 0; s < layout_.segments(c); ++s) advance(place(c, s));
  }
}

void Executor::plan(const OpDecision* decision, Rank self, const std::vector<Rank>& ring,
                    const Schedule& schedule) {
  programs_.clear();
  std::vector<uint32_t> redo;
  for (const Program& program : schedule.programs) redo.push_back(add_program(program));
  std::vector<ChunkRun> runs = decision ? decision->runs : std::vector<ChunkRun>{};
  if (runs.empty()) runs.push_back({0, layout_.chunks, Epoch(0), {}});
  for (const ChunkRun& run : runs) {
    const bool keep = run.lineage != Epoch(0);
    const bool holder =
        keep && std::find(run.holders.begin(), run.holders.end(), self) != run.holders.end();
    const uint32_t spread = keep ? add_program(make_spread(ring, self, run.holders)) : 0;
    for (uint32_t c = run.first; c < run.first + run.count && c < layout_.chunks; ++c) {
      RHZ_ASSERT("L1", !holder || chunks_[c].lineage == run.lineage);
      if (!holder) {
        // Rule D.  In place the input went when the value came: only a mode that keeps what is held may be without it.
        RHZ_ASSERT("H", !chunks_.held(c) || !overwrites_input() || keeps_originals() || keep);
        if (!canary(Rule::kD)) chunks_.discard(c);
      }
      if (!keep && restarted_) redone_bytes_ += layout_.chunk_bytes(c);
      chunks_[c].due = keep ? run.lineage : epoch_;
      chunks_[c].program = keep ? spread : redo[c % redo.size()];
    }
  }
}

void Executor::freeze() {
  running_ = false;
  early_.clear();
  blocked_.clear();
}

void Executor::originate(uint32_t most) {
  for (; running_ && outstanding_ < most && next_origin_ < layout_.chunks; ++next_origin_) {
    const uint32_t c = next_origin_;
    if (!originates(program(c))) continue;
    if (!eager() && !may_send(program(c))) return;
    chunks_[c].begun = true;
    ++outstanding_;  // until its final value is here, which may be at once
    for (uint32_t s = 0; s < layout_.segments(c); ++s) advance(place(c, s));
  }
}

// Everybody to whom the chunk goes before anything of it comes back has begun the op.
bool Executor::may_send(const Program& program) const {
  for (const Step& step : program) {
    if (waits(step.move)) return true;
    if (step.peer != kNoRank && !is_granted(step.peer)) return false;
  }
  return true;
}

void Executor::granted(Rank to) {
  if (granted_.size() <= to.value) granted_.resize(to.value + 1, 0);
  granted_[to.value] = 1;
  auto blocked = std::exchange(blocked_, {});
  for (auto& [rank, frame] : blocked) {
    if (rank == to) outbox_.emit(seq_, to, LaneClass::kBulk, std::move(frame));
    else blocked_.emplace_back(rank, std::move(frame));
  }
}

std::vector<Rank> Executor::sources() const {
  std::vector<Rank> ranks;
  for (const Program& program : programs_)
    for (const Step& step : program)
      if (waits(step.move) && std::find(ranks.begin(), ranks.end(), step.peer) == ranks.end())
        ranks.push_back(step.peer);
  return ranks;
}

Landing Executor::on_header(Rank from, const FrameHeader& header) {
  if (!running_) return {};
  const uint32_t c = header.chunk.value, s = header.segment.value;
  if (c >= layout_.chunks || s >= layout_.segments(c)) return {};
  const Place at = place(c, s);
  const bool partial = header.kind == Kind::kPartial;
  // W9: before a byte lands, that it is due, from whom it is due, and not held already.
  if (header.length != at.bytes || chunks_.held(c) || !expects(from, partial, at)) return {};
  Landing landing;
  landing.verdict = Landing::Verdict::kInto;
  if (at.bytes == 0) return landing;
  if (!partial && (landing.into = final_landing(at))) return landing;
  landing.keep = pool_.take(at.bytes);
  if (!landing.keep) {
    outbox_.out_of_memory(seq_);
    return {};
  }
  landing.into = landing.keep.data();
  return landing;
}

// Where a final segment may land directly; null: it goes through a buffer first.
std::byte* Executor::final_landing(const Place& at) {
  if (!overwrites_input()) return result(at);
  if (!keeps_originals()) return nullptr;
  // The value is back, so the partial that went into it has arrived: nobody reads its buffer any more.
  save_original(at.chunk, std::move(chunks_[at.chunk].sent));
  return result(at);
}

void Executor::save_original(uint32_t c, Buffer room) {
  Chunk& chunk = chunks_[c];
  if (chunk.original || !keeps_originals() || participants_ == 1 || canary(Rule::kH)) return;
  const uint64_t bytes = layout_.chunk_bytes(c);
  if (bytes == 0) return;
  chunk.original = room ? std::move(room) : pool_.take(bytes);
  RHZ_ASSERT("memory", chunk.original);
  std::memcpy(chunk.original.data(),
              spec_.send + layout_.chunk_offset(c) * layout_.element_bytes, bytes);
}

void Executor::on_frame(Rank from, const FrameHeader& header, const Landing& landing) {
  const bool partial = header.kind == Kind::kPartial;
  const Place at = place(header.chunk.value, header.segment.value);
  // Consumed meanwhile: a frame may be offered again after a reset.
  if (chunks_.held(at.chunk) || !expects(from, partial, at)) return;
  received_bytes_ += at.bytes;
  if (partial) {
    early_.push_back({at.chunk, at.segment, from, landing});
  } else {
    final_arrived(at, landing);
    ++progress(at).step;
  }
  if (chunks_[at.chunk].begun) advance(at);
}

void Executor::deliver() {
  if (!retained_ || delivered_) return;
  delivered_ = true;
  std::memcpy(spec_.recv, retained_.data(), layout_.bytes());
}

void Executor::drop_originals() {
  for (uint32_t c = 0; c < chunks_.size(); ++c) chunks_[c].original.reset();
}

uint64_t Executor::held_bytes() const {
  uint64_t bytes = 0;
  for (uint32_t c = 0; c < chunks_.size(); ++c)
    if (chunks_.held(c)) bytes += layout_.chunk_bytes(c);
  return bytes;
}

}  // namespace rhz
