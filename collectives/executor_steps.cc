// One segment's way along its chunk's program (collectives/schedule/schedule.h).
#include <algorithm>
#include <cstring>

#include "collectives/executor.h"
#include "runtime/base/assert.h"

namespace rhz {

using wire::Kind;

// Whether this frame is due, now or later.
bool Executor::expects(Rank from, bool partial, bool word, const Place& at) const {
  const Program& steps = program(at.chunk);
  const Progress& segment = progress(at);
  // A final value comes back only to who has done its own part.
  if (!partial) {
    if (segment.step >= steps.size() || steps[segment.step].peer != from) return false;
    const Move move = steps[segment.step].move;
    return move == Move::kReceive ? word == (at.bytes == 0) : move == Move::kHear && word;
  }
  if (word != (at.bytes == 0)) return false;
  const bool there = std::any_of(early_.begin(), early_.end(), [&](const Early& e) {
    return e.from == from && e.chunk == at.chunk && e.segment == at.segment;
  });
  return !there && std::find(steps.begin() + segment.step, steps.end(), Step{Move::kFold, from}) !=
                       steps.end();
}

void Executor::advance(const Place& at) {
  const Program& steps = program(at.chunk);
  Progress& segment = progress(at);
  Buffer copy;  // of the own input, for all who share it
  for (; segment.step < steps.size(); ++segment.step) {
    const Step step = steps[segment.step];
    switch (step.move) {
      case Move::kShare: share(at, step.peer, copy); break;
      case Move::kOwn: fold_own(at); break;
      case Move::kFold: {
        std::optional<Early> early = take_early(step.peer, at);
        if (!early) return;
        fold(at, early->landing.into, early->upto, std::move(early->landing.keep));
        break;
      }
      case Move::kPartial: send_partial(at, step.peer); break;
      case Move::kFinal: final_segment_ready(at, segment.upto); break;
      case Move::kReceive:
      case Move::kHear: return;
      case Move::kSend: send_final(at, step.peer); break;
      case Move::kTell: emit(step.peer, Kind::kResult, at, {}, {}); break;
    }
  }
}

void Executor::partial_arrived(Rank from, const Place& at, OpSeq upto, Landing&& landing) {
  const Program& steps = program(at.chunk);
  Progress& segment = progress(at);
  if (!chunks_[at.chunk].begun || steps[segment.step] != Step{Move::kFold, from}) {
    early_.push_back({at.chunk, at.segment, from, std::move(landing), upto});
    return;
  }
  const Progress before = segment;
  fold(at, landing.into, upto, std::move(landing.keep));
  for (++segment.step; steps[segment.step].move == Move::kOwn; ++segment.step) fold_own(at);
  // The bytes may have lain in the sender's memory: what was made of them counts only if it had not
  // taken them back.
  if (landing.still_there())
    advance(at);
  else
    segment = before;
}

std::optional<Executor::Early> Executor::take_early(Rank from, const Place& at) {
  const auto found = std::find_if(early_.begin(), early_.end(), [&](const Early& e) {
    return e.from == from && e.chunk == at.chunk && e.segment == at.segment;
  });
  if (found == early_.end()) return std::nullopt;
  std::optional<Early> early = std::move(*found);
  early_.erase(found);
  return early;
}

OpSeq Executor::own_upto(uint32_t chunk) {
  return chunks_[chunk].resumed ? OpSeq(0) : std::min(outbox_.full_upto(), seq_);
}

void Executor::fold_own(const Place& at) { fold(at, own_operand(at), own_upto(at.chunk), {}); }

// One more operand.  `keep`: the buffer that it lies in, which is ours to write to; none: the own
// input.
void Executor::fold(const Place& at, const std::byte* operand, OpSeq upto, Buffer keep) {
  Progress& segment = progress(at);
  segment.upto = std::min(segment.upto, upto);
  if (program(at.chunk)[segment.step + 1].move == Move::kFinal) {
    make_final(at, operand, std::move(keep));
  } else if (!segment.has_value) {
    segment.value = operand;
    segment.keep = std::move(keep);
  } else if (at.bytes > 0) {
    Buffer out = std::move(keep);
    // What was handed to the transport is read by it until the receiver has it.
    if (!out && !segment.keep.shared()) out = std::move(segment.keep);
    if (!out) out = pool_.take(at.bytes);
    if (!out) return outbox_.out_of_memory(seq_);
    kernels_.combine(out.data(), segment.value, operand, at.count, divisor(at.chunk));
    segment.value = out.data();
    segment.keep = std::move(out);
  }
  segment.has_value = true;
}

// The last operand: the value is final, and goes where the result is.
void Executor::make_final(const Place& at, const std::byte* operand, Buffer keep) {
  Progress& segment = progress(at);
  // What holds the operand, or the value so far, has room for the input that the result overwrites.
  Buffer& room = keep ? keep : segment.keep;
  if (segment.has_value && room && !room.shared() && loses_input(at.chunk) &&
      layout_.segments(at.chunk) == 1) {
    finish_and_save(at, operand, room.data());
    chunks_[at.chunk].original = std::move(room);
    return segment.keep.reset();
  }
  if (!stages(at.chunk)) save_original(at.chunk, {});
  std::byte* out = stages(at.chunk) ? staged(at) : at.recv;
  if (segment.has_value)
    kernels_.finish(out, segment.value, operand, at.count, divisor(at.chunk));
  else
    kernels_.scale(out, operand, nullptr, at.count, divisor(at.chunk));
  segment.keep.reset();
}

// Piece by piece the result goes where the input was, and the input to `room`, which may hold one
// of the operands.
void Executor::finish_and_save(const Place& at, const std::byte* operand, std::byte* room) {
  constexpr uint64_t kPieceBytes = 4096;
  alignas(64) std::byte piece[kPieceBytes];
  const std::byte* const value = progress(at).value;
  const uint64_t most = kPieceBytes / layout_.element_bytes;
  for (uint64_t first = 0; first < at.count; first += most) {
    const uint64_t count = std::min(most, at.count - first);
    const uint64_t offset = first * layout_.element_bytes, bytes = count * layout_.element_bytes;
    kernels_.finish(piece, value + offset, operand + offset, count, divisor(at.chunk));
    std::memcpy(room + offset, at.send + offset, bytes);
    std::memcpy(at.recv + offset, piece, bytes);
  }
}

std::byte* Executor::staged(const Place& at) {
  Chunk& chunk = chunks_[at.chunk];
  if (!chunk.staged) chunk.staged = pool_.must_take(layout_.chunk_bytes(at.chunk));
  return chunk.staged.data() + at.segment * layout_.segment_elements * layout_.element_bytes;
}

// It lies in its place already, unless in place: the input goes only when the whole chunk is here;
// or it only comes past.
void Executor::final_arrived(const Place& at, OpSeq upto, const Landing& landing) {
  if (!needs(at.chunk)) {
    progress(at).value = landing.into;
    progress(at).keep = landing.keep;
    chunks_[at.chunk].upto = upto;
    return;
  }
  if (landing.keep) {
    std::byte* out = layout_.segments(at.chunk) == 1 ? at.recv : staged(at);
    std::memcpy(out, landing.into, at.bytes);
  }
  final_segment_ready(at, upto);
}

void Executor::final_segment_ready(const Place& at, OpSeq upto) {
  Chunk& chunk = chunks_[at.chunk];
  chunk.upto = chunk.finals == 0 ? upto : std::min(chunk.upto, upto);
  if (!segment_over(at.chunk)) return;
  if (chunk.staged) {
    std::memcpy(place(at.chunk, 0).recv, chunk.staged.data(), layout_.chunk_bytes(at.chunk));
    chunk.staged.reset();
  }
  chunk.sent.reset();
  hold(at.chunk, chunk.due);
}

// True for the last one.
bool Executor::segment_over(uint32_t c) {
  if (++chunks_[c].finals < layout_.segments(c)) return false;
  if (originates(program(c))) --outstanding_;
  return true;
}

void Executor::share(const Place& at, Rank to, Buffer& copy) {
  // The caller may have its buffer back before this is read; express frames are copied by the
  // transport.
  if (!eager() && at.bytes > 0 && !copy) {
    copy = pool_.take(at.bytes);
    if (!copy) return outbox_.out_of_memory(seq_);
    std::memcpy(copy.data(), input(at), at.bytes);
  }
  // What it says when it leaves, it says at the place where it is folded here as well: all make the same of it.
  progress(at).upto = std::min(progress(at).upto, own_upto(at.chunk));
  emit(to, Kind::kPartial, at, copy ? copy.data() : input(at), copy);
}

void Executor::send_partial(const Place& at, Rank to) {
  Progress& segment = progress(at);
  Chunk& chunk = chunks_[at.chunk];
  const bool own = !segment.keep;
  const Buffer& memory = !own ? segment.keep : chunk.resumed ? chunk.resumed : chunk.original;
  emit(to, Kind::kPartial, at, segment.value, memory);
  const Program& steps = program(at.chunk);
  const bool ends = segment.step + 1 == steps.size();  // its final value is somebody else's
  const bool comes_back = !ends && steps[segment.step + 1].move == Move::kReceive;
  // The final value then has this room (final_landing); or the partial may have to go on from here.
  if ((keeps_originals(at.chunk) || includes()) && !own && comes_back && layout_.segments(at.chunk) == 1)
    chunk.sent = std::move(segment.keep);
  if (ends || comes_back) segment.keep.reset();
}

// A value that is held, or all of whose segments up to this one are there; or one that only comes
// past.
void Executor::send_final(const Place& at, Rank to) {
  const Chunk& chunk = chunks_[at.chunk];
  Progress& segment = progress(at);
  if (chunk.staged) return emit(to, Kind::kResult, at, staged(at), chunk.staged);
  if (!needs(at.chunk) && !is_source(at.chunk))
    return emit(to, Kind::kResult, at, segment.value, std::move(segment.keep));
  emit(to, Kind::kResult, at, held_value(at), retained_);
}

void Executor::emit(Rank to, Kind kind, const Place& at, const std::byte* data, Buffer keep) {
  OutFrame frame;
  frame.header.kind = kind;
  frame.header.chunk = ChunkIndex(at.chunk);
  frame.header.segment = SegmentIndex(at.segment);
  const bool partial = kind == Kind::kPartial;
  frame.header.full_upto = (partial ? progress(at).upto : chunks_[at.chunk].upto).value;
  if (data) frame.payload = {data, at.bytes};
  frame.keep = std::move(keep);
  sent_bytes_ += frame.payload.size();
  if (eager()) return outbox_.emit(seq_, to, LaneClass::kExpress, std::move(frame));
  if (is_granted(to)) return outbox_.emit(seq_, to, LaneClass::kBulk, std::move(frame));
  blocked_.emplace_back(to, std::move(frame));
}

}  // namespace rhz
