// Runs one op's schedule over the transport: lands frames, reduces, forwards, and keeps the books that a rebuild needs.
// Owned by the communicator; progress thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <vector>

#include "collectives/op.h"
#include "collectives/rebuild/chunk_table.h"
#include "collectives/sample.h"
#include "collectives/reduce/kernels.h"
#include "collectives/schedule/layout.h"
#include "collectives/schedule/schedule.h"
#include "runtime/agreement/view.h"
#include "runtime/memory/pool.h"
#include "runtime/transport/transport.h"

namespace rhz {

// Where an executor's frames go: the communicator adds epoch, group, number and signature.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void emit(OpSeq op, Rank to, LaneClass lane, OutFrame frame) = 0;
  // Leading ops of the group that are full or over here, at this moment.
  virtual OpSeq full_upto() = 0;
  // The op cannot go on here; it is to fail on every rank.
  virtual void out_of_memory(OpSeq op) = 0;
};

class Executor {
 public:
  struct Care {
    bool retain = false;  // the result is kept in memory of the runtime until it is released (rule b)
    bool redo = true;     // inputs are kept for as long as they may be needed again
    Verify verify = Verify::kOff;
  };
  // `self`: this rank's slot.  `books`: where what is noted of each chunk lies; outlives the executor.
  Executor(OpSeq seq, const OpSpec& spec, const Blocks& blocks, Slot self, const Layout& layout,
           const Care& care, BufferPool& pool, Outbox& outbox,
           std::pmr::memory_resource* books = std::pmr::get_default_resource());

  // False when there was no memory.
  [[nodiscard]] bool prepare();

  // The epoch in which it begins, or begins again after an install.
  struct Stage {
    Epoch epoch;
    const View* view = nullptr;
    Rank self = kNoRank;
    const std::vector<Rank>& ring;  // the participants that are in the view
    bool direct = true;             // every two of them reach each other
    std::shared_ptr<const Schedule> schedule;  // of kinds to whose every chunk everybody adds, and which everybody needs
    bool by_ring = false;  // which is the ring's
  };
  void start(const Stage& stage, const OpDecision* decision);
  // Stops until the next start: the epoch is sealed.
  void freeze();

  // Begins chunks whose way begins here, until `most` of them are on their way.
  void originate(uint32_t most);
  uint32_t outstanding() const { return outstanding_; }
  // So many bytes of the own input may be read now (OpSpec::input_there).
  void input_there(uint64_t bytes);
  // So many bytes from the beginning of the caller's recv hold their result, and may be read before the op is released; what was
  // told once may be made anew, after a death (is_remade).
  uint64_t result_there();
  // Somebody was told of a part of the result that does not hold any more: it has to be read again.
  bool is_remade() const { return remade_; }
  // All of them.
  bool has_originated() const { return next_origin_ == layout_.chunks; }

  // `to` has begun the op: bulk may flow there.
  void granted(Rank to);
  // Ranks whose bulk this op waits for: they are sent a GRANT.
  std::vector<Rank> sources() const;
  // Ranks that this op has to do with here.
  std::vector<Rank> peers() const;
  bool eager() const { return eager_; }

  Landing on_header(Rank from, const wire::FrameHeader& header);
  void on_frame(Rank from, const wire::FrameHeader& header, Landing&& landing);

  // All that this rank needs is here.  Of one that needs nothing this says nothing (Q1).
  bool full() const { return needed_held_ == needed_; }
  // Nothing is to be received, made or handed to the transport any more.
  bool is_over() const;
  // Of others: what it has from the beginning, as the root of a scatter its own block, proves nothing.
  bool needs_something() const { return needs_something_; }
  // The result is also in memory of the runtime, and serves others when the caller has its own back.
  bool retains() const { return retained_ || (retain_ && result_bytes() == 0); }
  // Puts a retained result into the caller's buffer.
  void deliver();
  // Every op below was full or over at all participants when they added to a final value that came to be held here (W13).
  OpSeq proven() const { return proven_; }
  // Members compare digests of this result, which all of them hold (O2).
  bool is_compared() const { return sample_.any(); }
  // Of a result that is full.
  uint64_t digest() const;
  // Inputs are no longer needed (W10).
  void drop_originals();

  const ChunkTable& chunks() const { return chunks_; }
  // What is held, in runs that stay within a block.
  std::vector<HeldRun> held_runs() const { return chunks_.report(layout_.chunks_of_block()); }
  // What a seal finds half made, of which somebody's input is that is not `alive` (slots, rising): kInclude only.
  std::vector<PartialRun> partial_runs(const std::vector<Slot>& alive) const;
  const Layout& layout() const { return layout_; }
  const Blocks& blocks() const { return blocks_; }
  uint64_t result_bytes() const;
  bool empty(uint32_t chunk) const { return chunks_[chunk].empty; }
  const OpSpec& spec() const { return spec_; }
  uint64_t sent_bytes() const { return sent_bytes_; }
  uint64_t received_bytes() const { return received_bytes_; }
  uint64_t redone_bytes() const { return redone_bytes_; }
  uint64_t held_bytes() const;

 private:
  struct Place {  // of one segment
    uint32_t chunk = 0, segment = 0;
    uint64_t bytes = 0, count = 0;
    const std::byte* send = nullptr;  // in the caller's input, where this rank is a source
    std::byte* recv = nullptr;        // in the result, where it needs the chunk
  };
  struct Progress {  // of one segment along its chunk's program
    uint32_t step = 0;
    bool has_value = false;
    const std::byte* value = nullptr;  // folded so far
    OpSeq upto = kNoOp;                // leading ops that were full at all whose inputs are in it; nobody's yet: no bound
    Buffer keep;                       // what holds it; empty: it is the own input
  };
  struct Early {  // a partial whose turn to be folded has not come
    uint32_t chunk, segment;
    Rank from;
    Landing landing;
    OpSeq upto;  // see Progress
  };

  Place place(uint32_t chunk, uint32_t segment) const;
  uint64_t given_at(uint64_t block) const;
  uint64_t got_at(uint64_t block) const;
  uint64_t kept_at(uint64_t block) const;
  const std::byte* input(const Place& at) const;
  const std::byte* held_value(const Place& at) const;
  const Program& program(uint32_t chunk) const { return schedule_->programs[chunks_[chunk].program]; }
  Progress& progress(const Place& at) { return progress_[at.chunk * layout_.most_segments() + at.segment]; }
  const Progress& progress(const Place& at) const {
    return progress_[at.chunk * layout_.most_segments() + at.segment];
  }
  bool is_granted(Rank to) const { return to.value < granted_.size() && granted_[to.value]; }
  bool may_send(const Program& program) const;
  bool has_input(uint32_t chunk) const;
  void begin(uint32_t chunk);
  void begin_others();
  std::vector<Rank> peers_of(bool (*wanted)(Move move)) const;
  // executor_plan.cc: what becomes of each chunk in this epoch.
  void plan(const Stage& stage, const OpDecision* decision);
  void plan_chunk(const Stage& stage, uint32_t chunk, const ChunkRun& run, uint32_t program);
  Program program_for(const Stage& stage, uint32_t chunk, const ChunkRun& run) const;
  std::vector<Rank> ranks_of(const Stage& stage, const Whom& whom) const;
  // executor_include.cc: partials that outlive an epoch.
  bool includes() const {
    return spec_.rebuild == RebuildMode::kInclude && is_uniform(blocks_.kind) && redo_;
  }
  void note_ring(const Stage& stage);
  Buffer partial_of(uint32_t chunk) const;
  std::vector<Slot> inputs_of_partial(uint32_t chunk) const;
  std::vector<std::pair<uint32_t, Buffer>> partials_to_resume(const Stage& stage,
                                                              const OpDecision* decision) const;
  std::vector<Rank> way_of(const Stage& stage, const ChunkRun& run) const;
  std::shared_ptr<const Resumed> resumption_of(const Stage& stage, const ChunkRun& run) const;
  // Whose inputs the value is made of that is due.
  uint32_t divisor(uint32_t chunk) const {
    const auto& resumption = chunks_[chunk].resumption;
    return participants_ + (resumption ? static_cast<uint32_t>(resumption->departed.size()) : 0);
  }
  const std::byte* own_operand(const Place& at) const {
    const Chunk& chunk = chunks_[at.chunk];
    return chunk.resumed ? chunk.resumed.data() : input(at);
  }
  // What an operand of this rank says of older ops.  One that was made in another epoch says nothing.
  OpSeq own_upto(uint32_t chunk);
  void hold(uint32_t chunk, Epoch lineage);
  void discard(uint32_t chunk);
  void keep_own_block(uint32_t chunk);
  bool needs(uint32_t chunk) const { return blocks_.needers(layout_.block_of(chunk)).has(self_); }
  // Its one source, which holds it from the beginning.
  bool is_source(uint32_t chunk) const {
    return !has_many_sources(blocks_.kind) && blocks_.sources(layout_.block_of(chunk)).has(self_);
  }

  // executor_steps.cc: along the program.
  bool expects(Rank from, bool partial, bool word, const Place& at) const;
  void advance(const Place& at);
  bool may_look(Rank from, const Place& at) const;
  void partial_arrived(Rank from, const Place& at, OpSeq upto, Landing&& landing);
  std::optional<Early> take_early(Rank from, const Place& at);
  void fold_own(const Place& at);
  void fold(const Place& at, const std::byte* operand, OpSeq upto, Buffer keep);
  void make_final(const Place& at, const std::byte* operand, Buffer keep);
  void finish_and_save(const Place& at, const std::byte* operand, std::byte* room);
  void final_arrived(const Place& at, OpSeq upto, const Landing& landing);
  void final_segment_ready(const Place& at, OpSeq upto);
  bool segment_over(uint32_t chunk);
  void share(const Place& at, Rank to, Buffer& copy);
  void send_partial(const Place& at, Rank to);
  void send_final(const Place& at, Rank to);
  void emit(Rank to, wire::Kind kind, const Place& at, const std::byte* data, Buffer keep);

  // Room for the chunk's final value without losing an input that may be needed again (rule H).
  bool is_in_place(uint32_t chunk) const;
  bool overwrites_input(uint32_t chunk) const { return redo_ && is_in_place(chunk); }
  bool keeps_originals(uint32_t chunk) const {
    return overwrites_input(chunk) && spec_.rebuild == RebuildMode::kStrict;
  }
  // In place and in several segments, a result is staged until all of it is there.
  bool stages(uint32_t chunk) const {
    return overwrites_input(chunk) && !keeps_originals(chunk) && layout_.segments(chunk) > 1;
  }
  bool loses_input(uint32_t chunk) const;
  void save_original(uint32_t chunk, Buffer room);
  std::byte* staged(const Place& at);
  std::byte* final_landing(const Place& at);

  const OpSeq seq_;
  const OpSpec spec_;
  const Blocks blocks_;
  const Slot self_;
  const Layout layout_;
  const bool retain_, redo_;
  const bool cold_;  // the result is so large that what lands in it need not go through the caches
  const Sample sample_;
  BufferPool& pool_;
  Outbox& outbox_;
  const reduce::Kernels& kernels_;

  Epoch epoch_;
  bool running_ = false;
  uint32_t participants_ = 1;
  std::vector<Slot> ring_;  // participants, in the order of the ring; only where they say who is in a partial
  bool eager_ = false;
  ChunkTable chunks_;
  uint32_t needed_ = 0, needed_held_ = 0;  // chunks
  bool needs_something_ = false;
  std::shared_ptr<const Schedule> schedule_;  // the programs of this epoch
  std::pmr::vector<Progress> progress_;  // by chunk and segment
  std::pmr::vector<Early> early_;
  std::pmr::vector<uint8_t> granted_;  // by rank
  std::pmr::vector<std::pair<Rank, OutFrame>> blocked_;  // until the GRANT comes
  uint64_t input_there_;       // bytes
  uint32_t next_origin_ = 0;   // chunks below were begun or are not ours to begin
  uint32_t outstanding_ = 0;   // begun here, final value not back yet
  Buffer retained_;            // the whole result
  bool delivered_ = false;
  uint64_t sent_bytes_ = 0, received_bytes_ = 0, redone_bytes_ = 0;
  bool restarted_ = false;
  uint32_t told_chunks_ = 0;  // of which, and of how many bytes, somebody was told (result_there)
  uint64_t told_bytes_ = 0;
  bool remade_ = false;
  OpSeq proven_;
};

}  // namespace rhz
