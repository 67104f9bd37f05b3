// Runs one op's schedule over the transport: lands frames, reduces, forwards, and keeps the books that a rebuild needs.
// Owned by the communicator; progress thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "collectives/op.h"
#include "collectives/rebuild/chunk_table.h"
#include "collectives/reduce/kernels.h"
#include "collectives/schedule/layout.h"
#include "collectives/schedule/schedule.h"
#include "runtime/memory/pool.h"
#include "runtime/transport/transport.h"

namespace rhz {

// Where an executor's frames go: the communicator adds epoch, group, number and signature.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void emit(OpSeq op, Rank to, LaneClass lane, OutFrame frame) = 0;
  // The op cannot go on here; it is to fail on every rank.
  virtual void out_of_memory(OpSeq op) = 0;
};

class Executor {
 public:
  // `retain`: the result is kept in memory of the runtime until it is released (rule b).
  Executor(OpSeq seq, const OpSpec& spec, const Layout& layout, bool retain, BufferPool& pool,
           Outbox& outbox);

  // False when there was no memory.
  [[nodiscard]] bool prepare();

  // Begins, or begins again after an install.  `ring`: the participants of the op that are in the view; `schedule`: theirs, for chunks
  // that are not kept.
  void start(Epoch epoch, Rank self, const std::vector<Rank>& ring, const Schedule& schedule,
             const OpDecision* decision);
  // Stops until the next start: the epoch is sealed.
  void freeze();

  // Begins chunks whose way begins here, until `most` of them are on their way.
  void originate(uint32_t most);
  uint32_t outstanding() const { return outstanding_; }

  // `to` has begun the op: bulk may flow there.
  void granted(Rank to);
  // Ranks whose bulk this op waits for: they are sent a GRANT.
  std::vector<Rank> sources() const;
  bool eager() const { return layout_.bytes() <= wire::kEagerBytes; }

  Landing on_header(Rank from, const wire::FrameHeader& header);
  void on_frame(Rank from, const wire::FrameHeader& header, const Landing& landing);

  bool full() const { return chunks_.full(); }
  // The result is also in memory of the runtime, and serves others when the caller has its own back.
  bool retains() const { return retained_ || (retain_ && layout_.bytes() == 0); }
  // Puts a retained result into the caller's buffer.
  void deliver();
  // Inputs are no longer needed (W10).
  void drop_originals();

  const ChunkTable& chunks() const { return chunks_; }
  const Layout& layout() const { return layout_; }
  const OpSpec& spec() const { return spec_; }
  uint64_t sent_bytes() const { return sent_bytes_; }
  uint64_t received_bytes() const { return received_bytes_; }
  uint64_t redone_bytes() const { return redone_bytes_; }
  uint64_t held_bytes() const;

 private:
  struct Place {  // of one segment
    uint32_t chunk, segment;
    uint64_t offset, bytes, count;  // bytes from the start of the op; elements
  };
  struct Progress {  // of one segment along its chunk's program
    uint32_t step = 0;
    bool has_value = false;
    const std::byte* value = nullptr;  // folded so far
    Buffer keep;                       // what holds it; empty: it is the own input
  };
  struct Early {  // a partial whose turn to be folded has not come
    uint32_t chunk, segment;
    Rank from;
    Landing landing;
  };

  Place place(uint32_t chunk, uint32_t segment) const;
  const std::byte* input(const Place& at) const;
  std::byte* result(const Place& at) const;
  const Program& program(uint32_t chunk) const { return programs_[chunks_[chunk].program]; }
  Progress& progress(const Place& at) { return progress_[at.chunk * layout_.segments(0) + at.segment]; }
  const Progress& progress(const Place& at) const {
    return progress_[at.chunk * layout_.segments(0) + at.segment];
  }
  uint32_t add_program(const Program& program);
  bool is_granted(Rank to) const { return to.value < granted_.size() && granted_[to.value]; }
  bool may_send(const Program& program) const;
  void plan(const OpDecision* decision, Rank self, const std::vector<Rank>& ring,
            const Schedule& schedule);

  // executor_steps.cc: along the program.
  bool expects(Rank from, bool partial, const Place& at) const;
  void advance(const Place& at);
  bool take_early(Rank from, const Place& at, Landing& landing);
  void fold(const Place& at, const std::byte* operand, const Buffer& keep);
  void make_final(const Place& at, const std::byte* operand);
  void final_arrived(const Place& at, const Landing& landing);
  void final_segment_ready(const Place& at);
  void share(const Place& at, Rank to, Buffer& copy);
  void send_partial(const Place& at, Rank to);
  void send_final(const Place& at, Rank to);
  void emit(Rank to, wire::Kind kind, const Place& at, const std::byte* data, Buffer keep);

  // Room for the chunk's final value without losing an input that may be needed again (rule H).
  bool overwrites_input() const { return spec_.send == spec_.recv && !retained_; }
  bool keeps_originals() const {
    return overwrites_input() && spec_.rebuild == RebuildMode::kStrict;
  }
  void save_original(uint32_t chunk, Buffer room);
  std::byte* staged(const Place& at);
  std::byte* final_landing(const Place& at);

  const OpSeq seq_;
  const OpSpec spec_;
  const Layout layout_;
  const bool retain_;
  BufferPool& pool_;
  Outbox& outbox_;
  const reduce::Kernels& kernels_;

  Epoch epoch_;
  bool running_ = false;
  uint32_t participants_ = 1;
  ChunkTable chunks_;
  std::vector<Program> programs_;
  std::vector<Progress> progress_;  // by chunk and segment
  std::vector<Early> early_;
  std::vector<uint8_t> granted_;  // by rank
  std::vector<std::pair<Rank, OutFrame>> blocked_;  // until the GRANT comes
  uint32_t next_origin_ = 0;   // chunks below were begun or are not ours to begin
  uint32_t outstanding_ = 0;   // begun here, final value not back yet
  Buffer retained_;            // the whole result
  bool delivered_ = false;
  uint64_t sent_bytes_ = 0, received_bytes_ = 0, redone_bytes_ = 0;
  bool restarted_ = false;
};

}  // namespace rhz
