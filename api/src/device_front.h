// All of a peer that has to do with devices: what it copies through, the ops that wait for one, the
// watch over them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "api/src/device_message.h"
#include "api/src/device_ops.h"
#include "api/src/device_watch.h"
#include "api/src/kernels.h"
#include "api/src/memory_ranges.h"
#include "api/src/peer_windows.h"
#include "api/src/progress.h"

namespace rhz::api {

class DeviceFront {
 public:
  // As the loop's owner.
  struct Below {
    std::function<Status(GroupId)> may_submit;
    std::function<Status()> ended;
    std::function<Result<uint64_t>(GroupId, const AnySpec&, OpCompletion*)> submit;
    std::function<void(GroupId, uint64_t)> cancel;
    std::function<void(GroupId, uint64_t, uint64_t)> input_there;
    std::function<uint64_t(GroupId, uint64_t)> result_there;
    std::function<void(const Status&)> resign;  // a peer without its device is of no use
    struct Standing {
      Epoch epoch;
      bool sealed = false;
      bool alive = false;  // a member, and not closed
      bool open = false;   // ops are taken
    };
    std::function<Standing()> standing;
    // Of the group, and who this peer is.
    std::function<std::pair<View, PeerId>(GroupId)> members;
    std::function<void()> wake;  // any thread: looks soon, also where the loop is at rest
  };
  DeviceFront(OpenedDevice device, Progress& progress, Slabs::Memory memory, Below below);
  ~DeviceFront();

  // Any thread.
  bool owns(const void* memory) const {
    return device_ && (registered_.holds(memory) || device_->owns(memory));
  }
  // Ok: there is a driver, which says nothing of a device.
  const Status& why_no_device() const { return why_not_; }
  // Loads what ops need on the device that is the thread's.  Waits for all that is queued there, and so comes before any op.
  void warm_up();
  // Ops with memory of a device, or that keep the order of a stream; of several, no stream stands
  // before the inputs of all are on their way.  `slot`: this peer's.
  void submit(std::span<Request> requests, Slot slot);

  // Registers memory with all ranks of the group: the steps are the caller's (device_api.cc), the
  // exchanges as well.
  WindowCard begin_window(GroupId group, void* memory, uint64_t bytes, Status& why_not);
  [[nodiscard]] Status map_window(GroupId group, const std::vector<WindowCard>& cards);
  void end_window(bool keep);

  // As the loop's owner.
  DeviceOps& ops() {
    (void)take_submitted();
    return ops_;
  }
  bool look();
  // Any thread: something waits for look().
  bool any_submitted() const { return any_submitted_.load(); }
  // Waits until no queue uses a copy any more, at most for `patience`; what is still used then is
  // left to the device.  Not the loop's owner, and nothing is submitted any more.
  void close(Duration patience);
  // Instead, when the loop is broken: all that the device may still use is left to it.
  void break_off();

 private:
  // Of a group, good as long as the epoch is the same and ops are taken: what a submission asks the
  // loop's owner for, and then no more.
  struct Permit {
    uint64_t standing = 0;
    View view;
    PeerId self;
  };
  [[nodiscard]] Result<const Permit*> permit(GroupId group);
  [[nodiscard]] Status wait_for_room();
  bool take_submitted();
  [[nodiscard]] Result<DeviceWords> take_words(const DeviceQueue& by);
  [[nodiscard]] Status begin(Request& request, Slot slot);
  void free(const DeviceOp& op);
  void give_back(const DeviceWords& words);
  [[nodiscard]] Result<std::unique_ptr<DeviceOp>> make_op(const Request& request,
                                                          const Permit& permit,
                                                          const DeviceQueue& queue);
  [[nodiscard]] Result<DeviceQueue> any_queue(const AnySpec& spec, void* stream);

  const std::shared_ptr<Device> device_;
  const Status why_not_;
  Progress& progress_;
  const Below below_;
  std::unique_ptr<Slabs> slabs_;
  std::unique_ptr<DeviceWatch> watch_;
  std::unique_ptr<DevicePuts> puts_;
  std::unique_ptr<PeerWindows> windows_;  // under submitting_
  PutAgainKernel again_{kernel_image()};  // under submitting_
  // B1: a queue takes some thousand entries before a call blocks, which it must not behind a gate that only a later call
  // opens.  An op is 3 of them behind its gate, one with parts 18.
  static constexpr size_t kMostWithParts = 8;
  std::atomic<size_t> with_parts_{0};
  MemoryRanges registered_;
  DeviceOps ops_;
  bool failed_ = false;
  // What the loop's owner says of the members: 0 while no op is taken, else the epoch and 1.
  std::atomic<uint64_t> standing_{0};
  std::mutex
      submitting_;  // on queues and behind each other: one order.  The loop's owner never takes it
  std::map<GroupId, Permit> permits_;  // under submitting_
  uint64_t submitted_ = 0;             // likewise: how many ever
  // Likewise: those of this submission, with their requests.
  struct Beginning {
    std::unique_ptr<DeviceOp> op;
    Request* request = nullptr;
  };
  std::vector<Beginning> beginning_;
  std::mutex inbox_mutex_;
  std::vector<std::unique_ptr<DeviceOp>> inbox_;  // submitted, and not yet seen by the loop's owner
  std::atomic<bool> any_submitted_{false};
  std::mutex words_mutex_;
  bool words_asked_ = false;
  std::vector<DeviceWords> idle_words_;
};

}  // namespace rhz::api
