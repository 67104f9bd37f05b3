// One op whose buffers are a device's, or which keeps the order of a stream: copies beside it, in
// memory of the host, are what the runtime sees (docs/gpu.md).
//
//   on the stream   … │ copy in │ raise `ready` │ wait for `gate` │ copy out │ raise `done` │ …
//
// A large input that others' are added to comes in pieces, each with a word of its own: the op begins with the first (W14).  A
// large result goes in pieces, each behind a gate of its own that opens when it is there (W15); behind the last one is a kernel
// that copies all once more where some of it was made anew.
//
// All of this is queued at the submission, on the caller's thread: who owns the loop afterwards
// looks at words and writes them, and never calls the device, which may be blocked by a call of the
// program's that waits for this very op.
#pragma once

#include <array>
#include <atomic>
#include <optional>

#include "api/src/device_use.h"
#include "api/src/put_again.h"
#include "api/src/request.h"
#include "runtime/device/slabs.h"

namespace rhz::api {

struct DeviceWords {
  // Of an op: a line of the cache, which the device writes and the loop's owner looks at again and
  // again; and one that the device reads.
  static constexpr size_t kCount = 32, kLine = 16;
  DeviceWord *ready = nullptr, *gate = nullptr, *done = nullptr;
  // Of kernels over mapped memory (peer_op.h).
  DeviceWord *ended = nullptr, *order = nullptr, *given = nullptr, *abort = nullptr;
  // Of the input's pieces behind the first.
  static constexpr size_t kMorePieces = 7;
  DeviceWord* more = nullptr;
  // Gates of the result's pieces before the last, and whether all of it is copied once more.
  DeviceWord *parts = nullptr, *again = nullptr;

  DeviceWords() = default;
  explicit DeviceWords(DeviceWord* first)  // of kCount
      : ready(first),
        gate(first + 1),
        done(first + 2),
        ended(first + 3),
        order(first + 4),
        given(first + 5),
        abort(first + 6),
        more(first + 7),
        parts(first + kLine),
        again(first + kLine + kMorePieces) {}
  void clear() const {
    for (size_t i = 0; i < kCount; ++i) ready[i].store(0, std::memory_order_relaxed);
  }
};

inline bool is_raised(const DeviceWord* word) {
  return word->load(std::memory_order_acquire) == kRaised;
}
inline void raise(DeviceWord* word) { word->store(kRaised, std::memory_order_release); }

// What keeps an order: the collectives of a group; the sends, or the receives, of a channel.
struct Line {
  GroupId group = kRootGroup;
  bool messages = false, sends = false;
  Slot peer = kAnySlot;
  uint64_t tag = 0;
  friend auto operator<=>(const Line&, const Line&) = default;
};
Line line_of(GroupId group, const AnySpec& spec);

class DeviceOp : public OpCompletion {
 public:
  // A host op that waits behind others: no words.
  DeviceOp(GroupId group, AnySpec spec, OpCompletion* user)
      : spec_(std::move(spec)), group_(group), line_(line_of(group, spec_)), user_(user) {}
  // Of an op that is dropped before it is over, for want of memory: its stream goes on.
  ~DeviceOp() override {
    if (words_ && !released_) open_all();
  }
  // Of one that was given to a runtime that is no more.
  virtual void let_stream_go() {
    if (words_ && !released_) open_all();
  }
  bool has_parts() const { return parts_ > 1; }

  // On the caller's thread.  `on`: the caller's stream; null: none, and the device's own queues are
  // used.  `again`: null, or where there is none for the device: the result goes as a whole.
  [[nodiscard]] Status prepare(Device& device, Slabs& slabs, const DeviceWords& words,
                               const DeviceQueue* on, bool is_root,
                               const PutAgainKernel* again = nullptr);
  // What is before the op, and then what is behind it.  What fails here has queued some of it: the
  // op then counts as one whose device is lost.
  [[nodiscard]] virtual Status enqueue_input(Device& device);
  [[nodiscard]] virtual Status enqueue_output(Device& device);

  GroupId group() const { return group_; }
  const Line& line() const { return line_; }
  const std::optional<DeviceWords>& words() const { return words_; }
  const std::array<Slab, 2>& slabs() const { return slabs_; }
  // On the device, or null.
  virtual std::byte* room() const { return nullptr; }

  // From here on as the loop's owner.  What the runtime can have now, and who is told of it; null:
  // nothing yet.
  virtual const AnySpec* next() const;
  virtual OpCompletion& completion() { return *this; }
  void given(uint64_t to_runtime) { submitted_ = to_runtime; }
  const std::optional<uint64_t>& submitted() const { return submitted_; }
  // How much of the input of an op that was given to the runtime is there, if that is more than it was told.
  std::optional<uint64_t> more_input();
  // Of an op that was given to the runtime: whether a part of the result may go to the device before it is over; it does as far
  // as the result is there.  True: some went.
  bool wants_result() const { return submitted_ && !released_ && parts_there_ + 1 < parts_; }
  bool result_there(uint64_t bytes);
  // Later ops of the group are not given to the runtime.
  virtual bool goes_first() const { return !submitted_ && !released_; }
  virtual void cancel() { cancelled_ = true; }
  // What the runtime was given is to be cancelled.
  virtual bool is_cancelled() const { return cancelled_; }
  // The device may have raised a word by which the op is over.
  virtual void look() {}
  // Who the members are may be about to change, or has.
  virtual void unsettle(Epoch, bool) {}

  // It is the device that has to go on, of which nobody is told.
  virtual bool waits_for_device() const {
    return !told_ && (words_ || !submitted_ || released_);
  }

  bool is_released() const { return released_; }
  bool is_told() const { return told_; }
  virtual bool is_final() const { return final_; }
  // The device has copied the result, so that the caller may be told.
  virtual bool is_done() const { return released_ && (!words_ || (is_raised(words_->done) && has_input())); }
  // Of an op that is done.
  virtual Status of_device() const { return Status::ok(); }
  // The op is over, the device has let go of the copies.  Not ok: whatever the runtime said, the
  // result did not arrive.
  void tell(const Status& device);
  // Ends what the runtime was never given, and opens the gates.
  virtual void refuse(const Status& status);

  void released(const OpOutcome& outcome) override;
  void finalised(const Status& status) override;

  uint64_t handle = 0;  // the caller's

 protected:
  // Memory of the host for what is on the device; makes the runtime's op one of that.
  [[nodiscard]] virtual Status lend(Slabs& slabs, bool is_root);
  [[nodiscard]] Status copy(Device& device, bool in);
  virtual void open_gates() { open_all(); }
  const OpOutcome& outcome() const { return outcome_; }

  AnySpec spec_;  // of the copies
  std::optional<DeviceWords> words_;
  DeviceQueue in_, out_;
  DeviceUse use_;
  std::array<std::byte*, 2> theirs_{};  // the caller's send and recv, where they are a device's
  std::array<Slab, 2> slabs_;
  std::optional<uint64_t> submitted_;
  bool cancelled_ = false;

 private:
  [[nodiscard]] Status take(Slabs& slabs, const BufferUse& use, size_t side);
  void cut_input();
  [[nodiscard]] Status enqueue_pieces(Device& device);
  void cut_output(const PutAgainKernel& again);
  [[nodiscard]] Status enqueue_parts(Device& device);
  void open_all();
  bool has_input() const;

  const GroupId group_;
  const Line line_;
  OpCompletion* const user_;
  bool released_ = false, told_ = false, final_ = false;
  OpOutcome outcome_;
  Status final_status_;
  size_t piece_bytes_ = 0;
  size_t pieces_ = 1, pieces_there_ = 1;  // there: that the runtime knows of
  const PutAgainKernel* again_ = nullptr;  // of a result that goes in parts
  size_t part_bytes_ = 0;
  size_t parts_ = 1, parts_there_ = 0;  // there: whose gates are open
};

}  // namespace rhz::api
