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

  // Begins, or begins again after an install.  `ring`: the participants of the op that are in the view.
  void start(Epoch epoch, Rank self, const std::vector<Rank>& ring, const OpDecision* decision);
  // Stops until the next start: the epoch is sealed.
  void freeze();

  // Chunks whose way begins here and that were not sent yet; at most `budget` are begun.  Returns how many.
  uint32_t originate(uint32_t budget);
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
  Place place(uint32_t chunk, uint32_t segment) const;
  const std::byte* input(const Place& at) const;
  std::byte* result(const Place& at) const;
  const Step* step_for(uint32_t chunk, bool partial) const;
  void plan(uint32_t chunk, uint32_t program);
  uint32_t add_program(const Program& program);
  void begin_chunk(uint32_t chunk);
  void solo(uint32_t chunk);
  // Makes room for the chunk's final value without losing an input that may be needed again (rule H).
  bool overwrites_input() const { return spec_.send == spec_.recv && !retained_; }
  bool keeps_originals() const {
    return overwrites_input() && spec_.rebuild == RebuildMode::kStrict;
  }
  bool stages(const Place& at) const {
    return overwrites_input() && !keeps_originals() && layout_.segments(at.chunk) > 1;
  }
  bool loses_input(const Step& step, const Place& at) const;
  void save_original(uint32_t chunk);
  std::byte* final_landing(const Place& at);
  void consume_partial(const Step& step, const Place& at, const Landing& landing);
  void consume_final(const Step& step, const Place& at, const Landing& landing);
  void final_segment_ready(const Place& at);
  void send_final(Rank to, const Place& at, const Buffer& copy);
  void emit(Rank to, wire::Kind kind, const Place& at, const std::byte* data, Buffer keep);

  const OpSeq seq_;
  const OpSpec spec_;
  const Layout layout_;
  const bool retain_;
  BufferPool& pool_;
  Outbox& outbox_;
  const reduce::Kernels& kernels_;

  Epoch epoch_;
  bool running_ = false;
  uint32_t divisor_ = 1;
  ChunkTable chunks_;
  std::vector<Program> programs_;
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
