// The ops of a peer that wait for a device, and those that came behind them: each line's in the
// order of their submission.
//
// A collective has a number from its submission on (O4), a message its place in its channel, and
// the device may take its time until the input is there: so nothing of the line goes past it.
// Calls no device.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "api/src/device_op.h"

namespace rhz::api {

class DeviceOps {
 public:
  // Handles of these ops; the runtime's own count from 0, those of messages from a higher bit.
  static constexpr uint64_t kFirstHandle = uint64_t{1} << 62;
  static_assert(2 * kFirstHandle == kMessageBit);
  static constexpr size_t kMost = 256;  // B1: that are open; each has its words

  struct Below {
    // What is over for good; ok: it goes on.
    std::function<Status()> ended;
    std::function<Result<uint64_t>(GroupId, const AnySpec&, OpCompletion*)> submit;
    std::function<void(GroupId, uint64_t)> cancel;
    // So many bytes of its input are there.
    std::function<void(GroupId, uint64_t, uint64_t)> input_there;
    // How much of its result is there.
    std::function<uint64_t(GroupId, uint64_t)> result_there;
    // Of an op whose device has let go of it.
    std::function<void(const DeviceOp&)> free;
  };
  explicit DeviceOps(Below below) : below_(std::move(below)) {}

  // Any thread.
  uint64_t take_handle() { return next_handle_.fetch_add(1, std::memory_order_relaxed); }
  // Ops of a device that are over for good, their votes included.
  uint64_t over() const { return over_.load(std::memory_order_acquire); }
  // Of which the caller has not been told.
  size_t untold() const { return untold_.load(std::memory_order_relaxed); }

  // As the loop's owner, from here on.  Its handle: taken here if the op has none.
  uint64_t add(std::unique_ptr<DeviceOp> op);
  // Something of the line has not been given to the runtime yet.
  bool queued(const Line& line) const { return queues_.contains(line); }
  // Nobody waits for anything here.
  bool idle() const { return untold() == 0; }
  // Nobody waits for the device: the runtime has all that others need of this peer.
  bool settled() const;
  // Gives what is ready to the runtime, and tells what is done.  True when there was any.
  bool look();
  // False: not an op of this one.
  bool cancel(uint64_t handle);
  // Ends what is queued, and not what runs: that is the runtime's.
  void refuse(const Line& line, const Status& status);
  void refuse_all(const Status& status);
  // The runtime is no more: streams go on behind what it had been given.
  void let_streams_go();
  // Members are about to change (`sealed`), or those of this epoch are installed.
  void unsettle(Epoch epoch, bool sealed);
  // The device is lost: what is queued for it is never done.  Copies and words are left to it.
  void lose(const Status& status);

 private:
  using Queue = std::deque<DeviceOp*>;
  bool submit_ready();
  bool pass_input_on();
  bool pass_results_on();
  bool tell_done();
  void submit(DeviceOp& op, const AnySpec& spec);
  void leave_queue(const DeviceOp& op);

  const Below below_;
  std::atomic<uint64_t> next_handle_{kFirstHandle}, over_{0};
  std::map<Line, Queue> queues_;
  std::vector<std::unique_ptr<DeviceOp>> open_;
  std::atomic<size_t> untold_{0};
  Status lost_;
};

}  // namespace rhz::api
