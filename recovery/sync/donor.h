// Serves the registered tensors of a member that stands at its admit op to those who join there.
//
// A step function: no clock, no socket, no thread.  The driver hands in the payloads of STATE_PULL frames and sends what comes
// back as STATE_DATA.  It opens the donor when it reports ADMIT_BEGUN, and closes it before that op ends: between the two the
// application does not change its tensors.  Every answer is a copy, so nothing refers to application memory after close(), and
// every later pull is answered "closed": a joiner can never be given a mixture of two revisions.
// Progress thread only.  The pool outlives the donor and its answers.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "recovery/state/manifest.h"
#include "recovery/state/state.h"
#include "recovery/sync/messages.h"
#include "runtime/base/bytes.h"
#include "runtime/base/types.h"
#include "runtime/memory/pool.h"

namespace rhz::recovery {

// To be sent: the first `length` bytes of `payload` in a STATE_DATA frame on a bulk lane.
struct SendData {
  PeerId to;
  Buffer payload;
  uint32_t length = 0;
};

class Donor {
 public:
  // Copies that nobody has sent yet take at most so many bytes (B1); pulls beyond it are answered "busy".
  static constexpr size_t kMaxUnsentBytes = size_t{64} << 20;
  // And so many answers, short ones included; pulls beyond it are dropped, the joiner's deadline covers them.
  static constexpr size_t kMaxUnsentAnswers = 4096;

  explicit Donor(BufferPool& pool) : pool_(pool) {}

  // What this member reports in ADMIT_BEGUN for the op `sync`.  `manifest`: of `state` at this revision, where the driver has it
  // (it had to compute the root: ManifestBuilder gives both).  Without one it is computed at the first pull that asks for it,
  // in one go, at memory speed.  `state` outlives close().
  void open(OpSeq sync, uint64_t revision, const Digest& root, const State& state,
            std::optional<Manifest> manifest = {});
  void close();
  // Goes on with what `live` serves, from a copy of the same bytes; closes `live`.  `copy` outlives close().
  void take_over(Donor& live, const State& copy);
  OpSeq sync() const { return sync_; }
  const Digest& root() const { return root_; }
  uint64_t revision() const { return revision_; }
  bool is_open() const { return state_ != nullptr; }

  // Answer to the payload of a STATE_PULL frame; empty when there is none to give.
  [[nodiscard]] std::optional<SendData> handle(PeerId from, ConstBytes payload);
  // The same for bytes that somebody else has found, within this donor's bounds.  `bytes` are copied.
  [[nodiscard]] std::optional<SendData> answer(PeerId from, const Pull& pull, DataStatus status, ConstBytes bytes);

  struct Counters {
    uint64_t served_bytes = 0, served = 0;  // manifests and ranges
    uint64_t closed = 0, refused = 0, busy = 0, dropped = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  // The bytes that `pull` asks for, or why there are none.
  DataStatus find(const Pull& pull, ConstBytes& bytes);
  DataStatus find_manifest(const Pull& pull, ConstBytes& bytes);
  DataStatus find_range(const Pull& pull, ConstBytes& bytes) const;
  void count(DataStatus status, size_t bytes);
  void forget_sent();

  BufferPool& pool_;
  const State* state_ = nullptr;  // null: closed
  OpSeq sync_;
  Digest root_{};
  uint64_t revision_ = 0;
  std::vector<std::byte> manifest_;  // serialised; empty: not computed yet
  bool diverged_ = false;            // the manifest was computed and has another root
  std::vector<Buffer> unsent_;       // handed out, perhaps sent by now
  size_t unsent_bytes_ = 0;
  Counters counters_;
};

}  // namespace rhz::recovery
