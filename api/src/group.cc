#include "api/src/group.h"

#include <vector>

#include "api/src/guard.h"

namespace rhz::api {
namespace {

// B1: of one group.
constexpr size_t kMostInGroup = 16384;

// Ends what could not be submitted.
void refuse(OpCompletion& completion, const Status& status) {
  OpOutcome outcome;
  outcome.status = status;
  completion.released(outcome);
  completion.finalised(status);
}

class Group {
 public:
  // A thread that ends inside its group submits none of it.
  ~Group() {
    for (Kept& kept : kept_) {
      refuse(*kept.op, Status(Code::kCancelled, "the thread ended before it called rhz_group_end"));
      kept.op->unreference();
    }
  }

  void begin() { ++depth_; }
  bool is_open() const { return depth_ > 0; }

  Status keep(Kept&& kept) {
    if (kept_.size() >= kMostInGroup)
      return Status(Code::kState, "too many ops in one group: call rhz_group_end");
    kept.op->enter_group(kept.spec);
    kept_.push_back(std::move(kept));
    return Status::ok();
  }

  Status end() {
    if (depth_ == 0)
      return Status(Code::kState, "rhz_group_end without rhz_group_begin on this thread");
    if (--depth_ > 0) return Status::ok();
    Status first;
    auto all = std::exchange(kept_, {});
    while (!all.empty()) {  // a communicator at a time
      PeerDriver& driver = all.front().op->driver();
      const GroupId group = all.front().op->group();
      std::vector<Kept> own, others;
      for (Kept& kept : all) (&kept.op->driver() == &driver && kept.op->group() == group ? own : others).push_back(std::move(kept));
      all = std::move(others);
      if (Status status = submit(driver, std::move(own)); first.is_ok()) first = status;
    }
    return first;
  }

 private:
  // Those of a device go first, each by itself: alike on all ranks, as what is fused is.
  static Status submit(PeerDriver& driver, std::vector<Kept>&& own) {
    Fused on_device;
    for (Kept& kept : own)
      if (kept.on_device) on_device.add_single(std::move(kept));
    std::erase_if(own, [](const Kept& kept) { return kept.on_device; });
    Fused others = fuse(std::move(own));
    if (!on_device.requests.empty()) driver.submit_on_device(on_device.requests);
    if (!others.requests.empty()) driver.submit(others.requests);
    const Status first = leave(on_device), second = leave(others);
    return first ? second : first;
  }

  static Status leave(Fused& fused) {
    Status first;
    for (size_t i = 0; i < fused.requests.size(); ++i) {
      Request& request = fused.requests[i];
      for (rhz_op* op : fused.ops[i])
        op->leave_group(request.handle.is_ok() ? request.handle.value() : 0);
      if (!request.handle) {
        if (first.is_ok()) first = request.handle.status();
        refuse(*request.completion, request.handle.status());
      }
      for (rhz_op* op : fused.ops[i]) op->unreference();
    }
    return first;
  }

  uint32_t depth_ = 0;
  std::vector<Kept> kept_;
};

// NCCL's groups belong to a thread, and so do these.
thread_local Group group;

}  // namespace

bool in_group() { return group.is_open(); }
Status keep_in_group(Kept kept) { return group.keep(std::move(kept)); }

}  // namespace rhz::api

extern "C" {

RHZ_API rhz_status rhz_group_begin(void) {
  rhz::api::group.begin();
  return RHZ_OK;
}
RHZ_API rhz_status rhz_group_end(void) {
  return rhz::api::guard([] { return rhz::api::group.end(); });
}
}
