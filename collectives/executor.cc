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

void Executor::start(Epoch epoch, Rank self, const std::vector<Rank>& ring,
                     const OpDecision* decision) {
  RHZ_ASSERT("W7", !running_ && epoch > epoch_);
  restarted_ = epoch_ != Epoch(0);
  epoch_ = epoch;
  running_ = true;
  divisor_ = static_cast<uint32_t>(ring.size());
  chunks_.forget_progress();
  blocked_.clear();
  granted_.clear();
  next_origin_ = 0;
  outstanding_ = 0;

  const Schedule schedule = make_ring_allreduce(ring, self);
  programs_.clear();
  std::vector<uint32_t> redo;
  for (const Program& program : schedule.programs) redo.push_back(add_program(program));
  std::vector<ChunkRun> runs = decision ? decision->runs : std::vector<ChunkRun>{};
  if (runs.empty()) runs.push_back({0, layout_.chunks, Epoch(0), {}});
  for (const ChunkRun& run : runs) {
    const bool keep = run.lineage != Epoch(0);
    const bool holder = keep && std::find(run.holders.begin(), run.holders.end(), self) != run.holders.end();
    const uint32_t spread = keep ? add_program(make_spread(ring, self, run.holders)) : 0;
    for (uint32_t c = run.first; c < run.first + run.count && c < layout_.chunks; ++c) {
      RHZ_ASSERT("L1", !holder || chunks_[c].lineage == run.lineage);
      if (!holder) {
        // Rule D.  In place the input went when the value came: only a mode that keeps what is held may be without it.
        RHZ_ASSERT("H", !chunks_.held(c) || !overwrites_input() || keeps_originals() || keep);
        if (!canary(Rule::kD)) chunks_.discard(c);
      }
      if (!keep && restarted_) redone_bytes_ += layout_.chunk_bytes(c);
      chunks_[c].due = keep ? run.lineage : epoch;
      chunks_[c].program = keep ? spread : redo[c % redo.size()];
    }
  }
  for (uint32_t c = 0; c < layout_.chunks; ++c) begin_chunk(c);
}

// What needs no frame to begin: values that are held and somebody lacks, and the world of one.
void Executor::begin_chunk(uint32_t chunk) {
  const Program& program = programs_[chunks_[chunk].program];
  if (program.empty()) return;
  const Step step = program.front();
  if (step.move == Move::kSolo) return solo(chunk);
  if (step.move != Move::kSend) return;
  for (uint32_t s = 0; s < layout_.segments(chunk); ++s) send_final(step.to, place(chunk, s), {});
}

void Executor::solo(uint32_t chunk) {
  for (uint32_t s = 0; s < layout_.segments(chunk); ++s) {
    const Place at = place(chunk, s);
    kernels_.scale(result(at), input(at), nullptr, at.count, 1);
  }
  chunks_.hold(chunk, epoch_);
}

void Executor::freeze() {
  running_ = false;
  blocked_.clear();
}

uint32_t Executor::originate(uint32_t budget) {
  uint32_t begun = 0;
  for (; running_ && begun < budget && next_origin_ < layout_.chunks; ++next_origin_) {
    const Program& program = programs_[chunks_[next_origin_].program];
    if (program.empty() || program.front().move != Move::kContribute) continue;
    const Step step = program.front();
    if (!eager() && (step.to.value >= granted_.size() || !granted_[step.to.value])) return begun;
    for (uint32_t s = 0; s < layout_.segments(next_origin_); ++s) {
      const Place at = place(next_origin_, s);
      emit(step.to, Kind::kPartial, at, input(at), chunks_[next_origin_].original);
    }
    ++begun;
    ++outstanding_;
  }
  return begun;
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
      if (step.from != kNoRank && std::find(ranks.begin(), ranks.end(), step.from) == ranks.end())
        ranks.push_back(step.from);
  return ranks;
}

const Step* Executor::step_for(uint32_t chunk, bool partial) const {
  for (const Step& step : programs_[chunks_[chunk].program]) {
    const bool wants_partial = step.move == Move::kCombine || step.move == Move::kFinish;
    if (partial ? wants_partial : step.move == Move::kPass) return &step;
  }
  return nullptr;
}

Landing Executor::on_header(Rank from, const FrameHeader& header) {
  if (!running_) return {};
  const uint32_t c = header.chunk.value, s = header.segment.value;
  if (c >= layout_.chunks || s >= layout_.segments(c)) return {};
  const Place at = place(c, s);
  const bool partial = header.kind == Kind::kPartial;
  const Step* step = step_for(c, partial);
  // W9: before a byte lands, that it is due, from whom it is due, and not held already.
  if (!step || step->from != from || header.length != at.bytes || chunks_.held(c)) return {};
  Chunk& chunk = chunks_[c];
  if ((partial ? chunk.partials : chunk.finals) >= layout_.segments(c)) return {};
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
  landing.may_look = partial && !loses_input(*step, at);
  return landing;
}

// A partial that is finished straight into the only copy of the input cannot be taken back.
bool Executor::loses_input(const Step& step, const Place& at) const {
  return step.move == Move::kFinish && overwrites_input() && !keeps_originals() && !stages(at);
}

// Where a final segment may land directly; null: it goes through a buffer first.
std::byte* Executor::final_landing(const Place& at) {
  if (!overwrites_input()) return result(at);
  if (keeps_originals()) {
    save_original(at.chunk);
    return result(at);
  }
  return nullptr;
}

void Executor::save_original(uint32_t c) {
  Chunk& chunk = chunks_[c];
  if (chunk.original || !keeps_originals() || canary(Rule::kH)) return;
  const uint64_t bytes = layout_.chunk_bytes(c);
  if (bytes == 0) return;
  chunk.original = pool_.take(bytes);
  RHZ_ASSERT("memory", chunk.original);
  std::memcpy(chunk.original.data(),
                spec_.send + layout_.chunk_offset(c) * layout_.element_bytes, bytes);
}

void Executor::on_frame(Rank, const FrameHeader& header, const Landing& landing) {
  const bool partial = header.kind == Kind::kPartial;
  const Place at = place(header.chunk.value, header.segment.value);
  const Chunk& chunk = chunks_[at.chunk];
  // Consumed meanwhile: a frame may be offered again after a reset.
  if (chunks_.held(at.chunk) ||
      (partial ? chunk.partials : chunk.finals) >= layout_.segments(at.chunk))
    return;
  const Step step = *step_for(at.chunk, partial);
  received_bytes_ += at.bytes;
  if (partial) consume_partial(step, at, landing);
  else consume_final(step, at, landing);
}

void Executor::consume_partial(const Step& step, const Place& at, const Landing& landing) {
  Chunk& chunk = chunks_[at.chunk];
  RHZ_ASSERT("D2", chunk.partials < layout_.segments(at.chunk));
  if (step.move == Move::kCombine) {
    // The payload may lie in the sender's memory: what is made of it lies here.
    std::byte* const sum = landing.keep ? landing.keep.data() : landing.into;
    kernels_.combine(sum, landing.into, input(at), at.count, divisor_);
    if (!landing.still_there()) return;
    ++chunk.partials;
    return emit(step.to, Kind::kPartial, at, sum, landing.keep);
  }
  // The owner.  In place and in several segments, the value is staged until all of it is there.
  std::byte* out = result(at);
  const bool stage = stages(at);
  if (stage) {
    if (!chunk.staged) chunk.staged = pool_.take(layout_.chunk_bytes(at.chunk));
    out = chunk.staged.data() + at.segment * layout_.segment_elements * layout_.element_bytes;
  } else {
    save_original(at.chunk);
  }
  kernels_.finish(out, landing.into, input(at), at.count, divisor_);
  if (!landing.still_there()) return;
  ++chunk.partials;
  if (step.to != kNoRank) {
    if (stage) emit(step.to, Kind::kResult, at, out, chunk.staged);
    else send_final(step.to, at, {});
  }
  final_segment_ready(at);
}

void Executor::consume_final(const Step& step, const Place& at, const Landing& landing) {
  Chunk& chunk = chunks_[at.chunk];
  if (landing.keep) {  // in place: the input goes only when the whole chunk is here
    if (layout_.segments(at.chunk) == 1) {
      std::memcpy(result(at), landing.into, at.bytes);
    } else {
      if (!chunk.staged) chunk.staged = pool_.take(layout_.chunk_bytes(at.chunk));
      std::memcpy(chunk.staged.data() +
                      at.segment * layout_.segment_elements * layout_.element_bytes,
                  landing.into, at.bytes);
    }
  }
  if (step.to != kNoRank) send_final(step.to, at, landing.keep);
  final_segment_ready(at);
}

void Executor::final_segment_ready(const Place& at) {
  Chunk& chunk = chunks_[at.chunk];
  if (++chunk.finals < layout_.segments(at.chunk)) return;
  if (chunk.staged) {
    std::memcpy(result(place(at.chunk, 0)), chunk.staged.data(), layout_.chunk_bytes(at.chunk));
    chunk.staged.reset();
  }
  chunks_.hold(at.chunk, chunk.due);
  const Program& program = programs_[chunk.program];
  if (!program.empty() && program.front().move == Move::kContribute) --outstanding_;
}

// A held value goes on; `copy`: the runtime's own copy of it, if there is one.
void Executor::send_final(Rank to, const Place& at, const Buffer& copy) {
  if (copy) return emit(to, Kind::kResult, at, copy.data(), copy);
  emit(to, Kind::kResult, at, result(at), retained_);
}

void Executor::emit(Rank to, Kind kind, const Place& at, const std::byte* data, Buffer keep) {
  OutFrame frame;
  frame.header.kind = kind;
  frame.header.chunk = ChunkIndex(at.chunk);
  frame.header.segment = SegmentIndex(at.segment);
  frame.payload = {data, at.bytes};
  frame.keep = std::move(keep);
  sent_bytes_ += at.bytes;
  if (eager()) return outbox_.emit(seq_, to, LaneClass::kExpress, std::move(frame));
  if (to.value < granted_.size() && granted_[to.value])
    return outbox_.emit(seq_, to, LaneClass::kBulk, std::move(frame));
  blocked_.emplace_back(to, std::move(frame));
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
