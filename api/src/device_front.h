// All of a peer that has to do with devices: what it copies through, the ops that wait for one, the
// watch over them.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "api/src/device_ops.h"
#include "api/src/device_watch.h"
#include "api/src/peer_windows.h"
#include "api/src/progress.h"

namespace rhz::api {

class DeviceFront {
 public:
  // As the loop's owner.
  struct Below {
    std::function<Status(GroupId)> may_submit;
    std::function<Status()> ended;
    std::function<Result<uint64_t>(GroupId, const OpSpec&, OpCompletion*)> submit;
    std::function<void(GroupId, uint64_t)> cancel;
    std::function<void(const Status&)> resign;  // a peer without its device is of no use
    struct Standing {
      Epoch epoch;
      bool sealed = false;
    };
    std::function<Standing()> standing;
    // Of the group, and who this peer is.
    std::function<std::pair<View, PeerId>(GroupId)> members;
  };
  DeviceFront(OpenedDevice device, Progress& progress, Slabs::Memory memory, Below below);
  ~DeviceFront();

  // Any thread.
  bool owns(const void* memory) const { return device_ && device_->owns(memory); }
  // Ok: there is a driver, which says nothing of a device.
  const Status& why_no_device() const { return why_not_; }
  // An op with memory of a device, or one that keeps the order of a stream (null: of none).
  [[nodiscard]] Result<uint64_t> submit(GroupId group, const OpSpec& spec, bool is_root,
                                        void* stream, OpCompletion* completion);

  // Registers memory with all ranks of the group: the steps are the caller's (device_api.cc), the
  // exchanges as well.
  WindowCard begin_window(GroupId group, void* memory, uint64_t bytes, Status& why_not);
  [[nodiscard]] Status map_window(GroupId group, const std::vector<WindowCard>& cards);
  void end_window(bool keep);

  // As the loop's owner.
  DeviceOps& ops() { return ops_; }
  bool look();
  // Waits until no queue uses a copy any more, at most for `patience`; what is still used then is
  // left to the device.  Not the loop's owner, and nothing is submitted any more.
  void close(Duration patience);

 private:
  [[nodiscard]] Result<DeviceWords> take_words(const DeviceQueue& by);
  void free(const DeviceOp& op);
  void give_back(const DeviceWords& words);
  [[nodiscard]] Result<std::unique_ptr<DeviceOp>> make_op(GroupId group, const OpSpec& spec,
                                                          const DeviceQueue& queue,
                                                          OpCompletion* completion);
  [[nodiscard]] Result<DeviceQueue> any_queue(const OpSpec& spec, void* stream);

  const std::shared_ptr<Device> device_;
  const Status why_not_;
  Progress& progress_;
  const Below below_;
  std::unique_ptr<Slabs> slabs_;
  std::unique_ptr<DeviceWatch> watch_;
  std::unique_ptr<PeerWindows> windows_;  // under submitting_
  DeviceOps ops_;
  bool failed_ = false;
  std::mutex
      submitting_;  // on queues and behind each other: one order.  The loop's owner never takes it
  std::mutex words_mutex_;
  bool words_asked_ = false;
  std::vector<DeviceWords> idle_words_;
};

}  // namespace rhz::api
