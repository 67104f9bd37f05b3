#include "api/src/device_ops.h"

#include <algorithm>

namespace rhz::api {

uint64_t DeviceOps::add(std::unique_ptr<DeviceOp> op) {
  if (op->handle == 0) op->handle = take_handle();
  queues_[op->line()].push_back(op.get());
  ++untold_;
  open_.push_back(std::move(op));
  return open_.back()->handle;
}

bool DeviceOps::settled() const {
  return queues_.empty() && std::none_of(open_.begin(), open_.end(),
                                         [](const auto& op) { return op->waits_for_device(); });
}

bool DeviceOps::look() {
  if (open_.empty()) return false;
  const bool told = tell_done();  // first: somebody waits for it
  const bool submitted = submit_ready();
  const bool more = pass_input_on();
  return pass_results_on() || more || submitted || told;
}

bool DeviceOps::pass_results_on() {
  bool any = false;
  for (const auto& op : open_)
    if (op->wants_result())
      any |= op->result_there(below_.result_there(op->group(), *op->submitted()));
  return any;
}

bool DeviceOps::pass_input_on() {
  bool any = false;
  for (const auto& op : open_) {
    const auto bytes = op->more_input();
    if (bytes) below_.input_there(op->group(), *op->submitted(), *bytes);
    any |= bytes.has_value();
  }
  return any;
}

// What was ended meanwhile is refused here, so that no gate stays closed.
bool DeviceOps::submit_ready() {
  if (queues_.empty()) return false;
  if (const Status ended = below_.ended(); !ended) {
    refuse_all(ended);
    return true;
  }
  bool any = false;
  for (auto queue = queues_.begin(); queue != queues_.end();) {
    while (!queue->second.empty()) {
      DeviceOp& op = *queue->second.front();
      const AnySpec* spec = op.next();
      if (spec) submit(op, *spec);
      any |= spec != nullptr;
      if (op.goes_first()) break;
      queue->second.pop_front();
    }
    queue = queue->second.empty() ? queues_.erase(queue) : std::next(queue);
  }
  return any;
}

// It may be over before this returns.
void DeviceOps::submit(DeviceOp& op, const AnySpec& spec) {
  const auto handle = below_.submit(op.group(), spec, &op.completion());
  if (!handle) return op.refuse(handle.status());
  op.given(handle.value());
  if (op.is_cancelled()) below_.cancel(op.group(), handle.value());
}

bool DeviceOps::tell_done() {
  bool any = false;
  for (const auto& op : open_) {
    if (op->is_told()) continue;
    op->look();
    const bool given_up = !lost_.is_ok() && op->words() && op->is_released();
    if (!(op->is_done() || given_up)) continue;
    const bool done = op->is_done();
    op->tell(done ? op->of_device() : lost_);
    if (done) below_.free(*op);
    --untold_;
    any = true;
  }
  std::erase_if(open_, [this](const auto& op) {
    if (!op->is_told() || !op->is_final()) return false;
    leave_queue(*op);
    if (op->words()) over_.fetch_add(1, std::memory_order_release);
    return true;
  });
  return any;
}

// Where it may be in front, but for one that was given up.
void DeviceOps::leave_queue(const DeviceOp& op) {
  const auto queue = queues_.find(op.line());
  if (queue != queues_.end()) std::erase(queue->second, &op);
}

bool DeviceOps::cancel(uint64_t handle) {
  if (handle < kFirstHandle || handle >= kMessageBit) return false;
  const auto op =
      std::find_if(open_.begin(), open_.end(), [&](const auto& o) { return o->handle == handle; });
  if (op == open_.end()) return true;  // over
  (*op)->cancel();
  if ((*op)->submitted() && (*op)->is_cancelled())
    below_.cancel((*op)->group(), *(*op)->submitted());
  return true;
}

void DeviceOps::refuse(const Line& line, const Status& status) {
  const auto queue = queues_.find(line);
  if (queue == queues_.end()) return;
  const Queue ops = std::move(queue->second);
  queues_.erase(queue);
  for (DeviceOp* op : ops) op->refuse(status);
}

void DeviceOps::refuse_all(const Status& status) {
  while (!queues_.empty()) refuse(Line(queues_.begin()->first), status);
}

void DeviceOps::let_streams_go() {
  for (const auto& op : open_) op->let_stream_go();
}

void DeviceOps::unsettle(Epoch epoch, bool sealed) {
  for (const auto& op : open_) op->unsettle(epoch, sealed);
}

void DeviceOps::lose(const Status& status) {
  if (!lost_) return;
  lost_ = status;
  refuse_all(status);
}

}  // namespace rhz::api
