// What an executor begins with, what it accepts, and what it gives back.  executor_steps.cc walks
// the programs.
#include "collectives/executor.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {

using wire::FrameHeader;
using wire::Kind;

namespace {
// Blocks that a rank gives, or gets.
uint64_t blocks_of_a_rank(const Blocks& blocks) {
  return has_layout(blocks.kind) ? blocks.layout.size() : 1;
}

// From here on a result is larger than what the program finds in the caches of one core afterwards.
constexpr uint64_t kColdBytes = 4u << 20;

// Of an op that does not fit the view, and never begins, there are fewer than blocks.
uint64_t start_of(const std::vector<uint64_t>& starts, uint64_t block) {
  return block < starts.size() ? starts[block] : 0;
}
}  // namespace

Executor::Executor(OpSeq seq, const OpSpec& spec, const Blocks& blocks, Slot self,
                   const Layout& layout, const Care& care, BufferPool& pool, Outbox& outbox,
                   std::pmr::memory_resource* books)
    : seq_(seq),
      spec_(spec),
      blocks_(blocks),
      self_(self),
      layout_(layout),
      retain_(care.retain),
      redo_(care.redo),
      cold_(result_bytes() >= kColdBytes),
      sample_(is_alike(blocks.kind) ? care.verify : Verify::kOff, seq, layout_),
      pool_(pool),
      outbox_(outbox),
      kernels_(reduce::kernels_for(spec.dtype, spec.redop)),
      eager_(layout.bytes() * blocks_of_a_rank(blocks) <= wire::kEagerBytes),
      chunks_(layout.chunks, books),
      progress_(books),
      early_(books),
      granted_(books),
      blocked_(books),
      input_there_(spec.input_there) {
  for (uint32_t c = 0; c < layout_.chunks; ++c) {
    needed_ += needs(c);
    needs_something_ |= needs(c) && !is_source(c);
  }
}

uint64_t Executor::result_bytes() const {
  const bool gathers = blocks_.kind == OpKind::kAllGather || blocks_.kind == OpKind::kGather ||
                       blocks_.kind == OpKind::kAllToAll;
  if (gathers && !layout_.counts.empty())
    return std::accumulate(layout_.counts.begin(), layout_.counts.end(), uint64_t{0}) * layout_.element_bytes;
  return layout_.bytes() * (gathers ? blocks_.layout.size() : 1);
}

bool Executor::prepare() {
  if (retain_ && result_bytes() > 0) retained_ = pool_.take(result_bytes());
  return !retain_ || result_bytes() == 0 || retained_;
}

// Elements before a block, of those that this rank gives, in the caller's buffer.
uint64_t Executor::given_at(uint64_t block) const {
  return spec_.varying ? start_of(spec_.varying->send_at, block) : block * layout_.count;
}

// The same for those that it gets.
uint64_t Executor::got_at(uint64_t block) const {
  return spec_.varying ? start_of(spec_.varying->recv_at, block) : block * layout_.count;
}

// The same in the runtime's own copy of the result (all-gather), which has no gaps.
uint64_t Executor::kept_at(uint64_t block) const {
  if (!spec_.varying) return block * layout_.count;
  return std::accumulate(layout_.counts.begin(), layout_.counts.begin() + static_cast<long>(block), uint64_t{0});
}

Executor::Place Executor::place(uint32_t chunk, uint32_t segment) const {
  const uint64_t count = layout_.segment_count(chunk, segment);
  const uint64_t offset = layout_.segment_offset(chunk, segment) * layout_.element_bytes;
  const uint64_t n = blocks_.layout.size(), block = layout_.block_of(chunk);
  uint64_t given = 0, got = 0;  // which of the blocks that this rank gives, and gets
  switch (blocks_.kind) {
    case OpKind::kReduceScatter:
    case OpKind::kScatter: given = block; break;
    case OpKind::kAllGather:
    case OpKind::kGather: got = block; break;
    case OpKind::kAllToAll: given = block % n, got = block / n; break;
    default: break;
  }
  const uint64_t send_at = given_at(given) * layout_.element_bytes + offset,
                 recv_at = got_at(got) * layout_.element_bytes + offset;
  Place at{chunk, segment, count * layout_.element_bytes, count, nullptr, nullptr};
  // In place, what a rank gives lies where it gets it, or the other way round.
  if (spec_.send)
    at.send = spec_.send + send_at;
  else if (spec_.recv)
    at.send = spec_.recv + recv_at;
  if (retained_)
    at.recv = retained_.data() + kept_at(got) * layout_.element_bytes + offset;
  else if (spec_.recv)
    at.recv = spec_.recv + recv_at;
  else if (spec_.send)
    at.recv = const_cast<std::byte*>(spec_.send) + send_at;
  return at;
}

// The own input, also where a result has overwritten it.
const std::byte* Executor::input(const Place& at) const {
  const Chunk& chunk = chunks_[at.chunk];
  if (!chunk.original) return at.send;
  return chunk.original.data() +
         uint64_t{at.segment} * layout_.segment_elements * layout_.element_bytes;
}

// Of a chunk that is held here.  A source that gets its own block as well serves from there: that
// may be a copy of the runtime's, and outlive the caller's input (Q4).
const std::byte* Executor::held_value(const Place& at) const {
  return needs(at.chunk) ? at.recv : at.send;
}

bool Executor::is_in_place(uint32_t chunk) const {
  if (!has_many_sources(blocks_.kind) || !needs(chunk)) return false;
  const Place at = place(chunk, 0);
  return at.send == at.recv;
}

void Executor::start(const Stage& stage, const OpDecision* decision) {
  RHZ_ASSERT("W7", !running_ && stage.epoch > epoch_);
  restarted_ = epoch_ != Epoch(0);
  epoch_ = stage.epoch;
  running_ = true;
  participants_ = static_cast<uint32_t>(stage.ring.size());
  std::vector<std::pair<uint32_t, Buffer>> resumed = partials_to_resume(stage, decision);
  chunks_.forget_progress();
  for (auto& [chunk, partial] : resumed) chunks_[chunk].resumed = std::move(partial);
  note_ring(stage);
  progress_.assign(size_t{layout_.chunks} * layout_.most_segments(), {});
  early_.clear();
  blocked_.clear();
  granted_.clear();
  next_origin_ = 0;
  outstanding_ = 0;
  plan(stage, decision);
  begin_others();
}

// Chunks whose way begins here wait for originate().
void Executor::begin_others() {
  for (uint32_t c = 0; c < layout_.chunks; ++c)
    if (!chunks_[c].begun && !originates(program(c)) && has_input(c)) begin(c);
}

void Executor::begin(uint32_t c) {
  chunks_[c].begun = true;
  for (uint32_t s = 0; s < layout_.segments(c); ++s) advance(place(c, s));
}

// What is not there yet is read by no step: a chunk whose input is missing has not begun, and partials of others wait for it.
bool Executor::has_input(uint32_t c) const {
  if (input_there_ == OpSpec::kWhole || program(c).empty() || canary(Rule::kInput)) return true;
  RHZ_ASSERT("all add to what has an input that is still to come", has_many_sources(blocks_.kind));
  const Place last = place(c, layout_.segments(c) - 1);
  const std::byte* const begin = spec_.send ? spec_.send : spec_.recv;
  return last.bytes == 0 || static_cast<uint64_t>(last.send - begin) + last.bytes <= input_there_;
}

void Executor::input_there(uint64_t bytes) {
  if (bytes <= input_there_) return;
  input_there_ = bytes;
  if (running_) begin_others();
}

// Chunk by chunk, as long as each lies where the last one ended.  What is kept by the runtime comes to the caller when the op is over.
uint64_t Executor::result_there() {
  const std::byte* const begin = spec_.recv ? spec_.recv : spec_.send;
  for (; !retained_ && told_chunks_ < layout_.chunks; ++told_chunks_) {
    if (!needs(told_chunks_)) continue;
    const Place at = place(told_chunks_, 0);
    if (!chunks_.held(told_chunks_) || at.recv != begin + told_bytes_) break;
    told_bytes_ += layout_.chunk_bytes(told_chunks_);
  }
  return told_bytes_;
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
    if (!has_input(c) || (!eager() && !may_send(program(c)))) return;
    ++outstanding_;  // until its final value is here, which may be at once
    begin(c);
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
  std::pmr::vector<std::pair<Rank, OutFrame>> blocked(blocked_.get_allocator());
  blocked.swap(blocked_);
  for (auto& [rank, frame] : blocked) {
    if (rank == to)
      outbox_.emit(seq_, to, LaneClass::kBulk, std::move(frame));
    else
      blocked_.emplace_back(rank, std::move(frame));
  }
}

std::vector<Rank> Executor::sources() const { return peers_of(waits); }

std::vector<Rank> Executor::peers() const {
  return peers_of([](Move) { return true; });
}

std::vector<Rank> Executor::peers_of(bool (*wanted)(Move move)) const {
  std::vector<Rank> ranks;
  for (const Program& program : schedule_->programs)
    for (const Step& step : program)
      if (wanted(step.move) && step.peer != kNoRank &&
          std::find(ranks.begin(), ranks.end(), step.peer) == ranks.end())
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
  if (header.length > 0 && header.length != at.bytes) return {};
  if (chunks_.held(c) || !expects(from, partial, header.length == 0, at)) return {};
  Landing landing;
  landing.verdict = Landing::Verdict::kInto;
  if (header.length == 0) return landing;
  if (!partial && (landing.into = final_landing(at))) {
    landing.cold = cold_ && progress(at).step + 1 == program(c).size();  // it is not handed on
    return landing;
  }
  landing.keep = pool_.take(at.bytes);
  if (!landing.keep) {
    outbox_.out_of_memory(seq_);
    return {};
  }
  landing.into = landing.keep.data();
  landing.may_look = partial && may_look(from, at);
  return landing;
}

// Whether a partial may be folded where the sender has it (Landing::may_look): at once, into memory
// that counts for nothing before it is known that the bytes were still the sender's word.
bool Executor::may_look(Rank from, const Place& at) const {
  const Program& steps = program(at.chunk);
  const Progress& segment = progress(at);
  if (!chunks_[at.chunk].begun || steps[segment.step] != Step{Move::kFold, from}) return false;
  if (!segment.has_value && steps[segment.step + 1].move != Move::kOwn) return false;
  uint32_t next = segment.step + 1;
  while (steps[next].move == Move::kOwn) ++next;
  // Finished straight into the only copy of the input, it could not be taken back.
  return steps[next].move != Move::kFinal || !is_in_place(at.chunk) ||
         keeps_originals(at.chunk) || stages(at.chunk);
}

// Where a final segment may land directly; null: it goes through a buffer first, or only that far.
std::byte* Executor::final_landing(const Place& at) {
  if (!needs(at.chunk)) return nullptr;
  if (!overwrites_input(at.chunk)) return at.recv;
  if (!keeps_originals(at.chunk)) return nullptr;
  // The value is back, so the partial that went into it has arrived: nobody reads its buffer any
  // more.
  save_original(at.chunk, std::move(chunks_[at.chunk].sent));
  return at.recv;
}

// Whether a result in its place would be the end of an input that may be needed again.
bool Executor::loses_input(uint32_t c) const {
  return !chunks_[c].original && keeps_originals(c) && participants_ > 1 && !canary(Rule::kH) &&
         layout_.chunk_bytes(c) > 0;
}

void Executor::save_original(uint32_t c, Buffer room) {
  if (!loses_input(c)) return;
  Chunk& chunk = chunks_[c];
  const uint64_t bytes = layout_.chunk_bytes(c);
  chunk.original = room ? std::move(room) : pool_.must_take(bytes);
  std::memcpy(chunk.original.data(), place(c, 0).send, bytes);
}

void Executor::on_frame(Rank from, const FrameHeader& header, Landing&& landing) {
  const bool partial = header.kind == Kind::kPartial;
  const Place at = place(header.chunk.value, header.segment.value);
  // Consumed meanwhile: a frame may be offered again after a reset.
  if (chunks_.held(at.chunk) || !expects(from, partial, header.length == 0, at)) return;
  received_bytes_ += header.length;
  const OpSeq upto = std::min(OpSeq(header.full_upto), seq_);
  if (partial && canary(Rule::kPassing)) proven_ = std::max(proven_, upto);
  if (partial) return partial_arrived(from, at, upto, std::move(landing));
  const bool word = program(at.chunk)[progress(at).step].move == Move::kHear;
  if (word)
    segment_over(at.chunk);
  else
    final_arrived(at, upto, landing);
  ++progress(at).step;
  advance(at);
}

bool Executor::is_over() const {
  if (!has_originated() || !blocked_.empty()) return false;
  for (uint32_t c = 0; c < layout_.chunks; ++c)
    for (uint32_t s = 0; s < layout_.segments(c); ++s)
      if (progress_[c * layout_.most_segments() + s].step < program(c).size()) return false;
  return true;
}

void Executor::deliver() {
  if (!retained_ || delivered_) return;
  delivered_ = true;
  if (!spec_.varying) return void(std::memcpy(spec_.recv, retained_.data(), result_bytes()));
  for (uint32_t b = 0; b < layout_.blocks; ++b)
    if (const uint64_t bytes = layout_.count_of(b) * layout_.element_bytes; bytes > 0)
      std::memcpy(spec_.recv + got_at(b) * layout_.element_bytes, retained_.data() + kept_at(b) * layout_.element_bytes, bytes);
}

uint64_t Executor::digest() const {
  uint64_t sum = 0;
  for (uint32_t c = 0; c < chunks_.size(); ++c) sum += chunks_[c].digest;
  return sum;
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
