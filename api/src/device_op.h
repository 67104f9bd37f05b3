// One collective whose buffers are a device's, or which keeps the order of a stream: copies beside it, in memory of the host, are what
// the runtime sees (docs/gpu.md).
//
//   on the stream   … │ copy in │ raise `ready` │ wait for `gate` │ copy out │ raise `done` │ …
//
// All of this is queued at the submission, on the caller's thread: who owns the loop afterwards looks at words and writes them, and
// never calls the device, which may be blocked by a call of the program's that waits for this very op.
#pragma once

#include <array>
#include <atomic>
#include <optional>

#include "api/src/device_use.h"
#include "runtime/device/slabs.h"

namespace rhz::api {

struct DeviceWords {
  DeviceWord *ready = nullptr, *gate = nullptr, *done = nullptr;
};

class DeviceOp final : public OpCompletion {
 public:
  // A host op that waits behind others: no words.
  DeviceOp(GroupId group, OpSpec spec, OpCompletion* user) : group_(group), spec_(std::move(spec)), user_(user) {}

  // On the caller's thread.  `stream` null: none, and the device's own queues are used.
  [[nodiscard]] Status prepare(Device& device, Slabs& slabs, const DeviceWords& words, void* stream, bool is_root);
  // What fails here has queued some of it: the op then counts as one whose device is lost.
  [[nodiscard]] Status enqueue(Device& device);

  GroupId group() const { return group_; }
  // Of the copies.
  const OpSpec& spec() const { return spec_; }
  const std::optional<DeviceWords>& words() const { return words_; }
  const std::array<Slab, 2>& slabs() const { return slabs_; }
  const DeviceQueue& queue() const { return out_; }

  // From here on as the loop's owner.
  bool is_ready() const { return !words_ || words_->ready->load(std::memory_order_acquire) == kRaised; }
  bool is_released() const { return released_; }
  bool is_told() const { return told_; }
  bool is_final() const { return final_; }
  // The device has copied the result, so that the caller may be told.
  bool is_done() const { return released_ && (!words_ || words_->done->load(std::memory_order_acquire) == kRaised); }
  // The op is over, the device has let go of the copies.  Not ok: whatever the runtime said, the result did not arrive.
  void tell(const Status& device);
  // Ends what the runtime was never given, and opens the gate.
  void refuse(const Status& status);

  void released(const OpOutcome& outcome) override;
  void finalised(const Status& status) override;

  uint64_t handle = 0;                 // the caller's
  std::optional<uint64_t> submitted;   // the runtime's
  bool cancelled = false;

 private:
  [[nodiscard]] Status take(Slabs& slabs, const BufferUse& use, size_t side);
  [[nodiscard]] Status copy(Device& device, bool in);

  const GroupId group_;
  OpSpec spec_;
  OpCompletion* const user_;
  std::optional<DeviceWords> words_;
  DeviceQueue in_, out_;
  DeviceUse use_;
  std::array<std::byte*, 2> theirs_{};  // the caller's send and recv, where they are a device's
  std::array<Slab, 2> slabs_;
  bool released_ = false, told_ = false, final_ = false;
  OpOutcome outcome_;
  Status final_status_;
};

}  // namespace rhz::api
