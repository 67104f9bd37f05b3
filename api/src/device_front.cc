#include "api/src/device_front.h"

#include "runtime/base/options.h"

namespace rhz::api {

DeviceFront::DeviceFront(OpenedDevice opened, Progress& progress, Slabs::Memory memory, Below below)
    : device_(std::move(opened.device)),
      why_not_(std::move(opened.why_not)),
      progress_(progress),
      below_(std::move(below)),
      ops_({below_.ended, below_.submit, below_.cancel, below_.input_there, below_.result_there, [this](const DeviceOp& op) { free(op); }}) {
  if (!device_) return;
  slabs_ = std::make_unique<Slabs>(*device_, std::move(memory));
  watch_ = std::make_unique<DeviceWatch>(*device_);
  puts_ = std::make_unique<DevicePuts>(*device_, DeviceOps::kMost);
  windows_ = std::make_unique<PeerWindows>(*device_, *slabs_);
}

DeviceFront::~DeviceFront() = default;

// All at once, of one page: the driver gives no less.
Result<DeviceWords> DeviceFront::take_words(const DeviceQueue& by) {
  std::lock_guard lock(words_mutex_);
  if (!std::exchange(words_asked_, true)) {
    const auto all = device_->words(by, DeviceWords::kCount * DeviceOps::kMost);
    if (!all) {
      words_asked_ = false;
      return all.status();
    }
    DeviceWord* const first = all.value().data();
    for (size_t i = 0; i < DeviceOps::kMost; ++i)
      idle_words_.emplace_back(first + i * DeviceWords::kCount);
  }
  if (idle_words_.empty())
    return Status(Code::kState, "too many ops wait for the device; wait for some of them");
  const DeviceWords words = idle_words_.back();
  idle_words_.pop_back();
  words.clear();
  return words;
}

// Calls no device.
void DeviceFront::free(const DeviceOp& op) {
  for (const Slab& slab : op.slabs())
    if (slab.begin) slabs_->give_back(slab);
  if (op.room()) windows_->give_room_back(op.room());
  if (op.has_parts()) --with_parts_;
  if (op.words()) give_back(*op.words());
}

void DeviceFront::give_back(const DeviceWords& words) {
  std::lock_guard lock(words_mutex_);
  idle_words_.push_back(words);
}

Result<DeviceQueue> DeviceFront::any_queue(const AnySpec& spec, void* stream) {
  if (stream) return device_->queue_of(stream);
  const auto [send, recv] = buffers_of(spec);
  auto own = device_->own_queues(device_->owns(send) ? static_cast<const void*>(send) : recv);
  if (!own) return own.status();
  return own.value().in;
}

// By kernels if all ranks registered the memory.
Result<std::unique_ptr<DeviceOp>> DeviceFront::make_op(const Request& request, const Permit& permit,
                                                       const DeviceQueue& queue) {
  const auto& [group, any, completion, stream, handle] = request;
  const auto* spec = std::get_if<OpSpec>(&any);
  if (!spec)
    return std::unique_ptr<DeviceOp>(
        std::make_unique<DeviceMessage>(group, any, stream != nullptr, completion, *puts_));
  std::optional<PeerOp::Plan> plan = windows_->plan({group, spec, &permit.view, permit.self});
  if (!plan) return std::make_unique<DeviceOp>(group, any, completion);
  if (spec->send == spec->recv) {
    auto room = windows_->take_room(queue, spec->count * reduce::size_of(spec->dtype));
    if (!room) return room.status();
    plan->saved = room.value();
  }
  return std::unique_ptr<DeviceOp>(
      std::make_unique<PeerOp>(group, *spec, completion, std::move(*plan)));
}

// Taking the loop costs more than a small op.  What ends meanwhile ends the op, once it is there.
Result<const DeviceFront::Permit*> DeviceFront::permit(GroupId group) {
  Permit& known = permits_[group];
  const uint64_t now = standing_.load(std::memory_order_acquire);
  if (now != 0 && known.standing == now) return &known;
  Status may;
  progress_.with([&] {
    may = below_.may_submit(group);
    if (!may) return;
    (void)look();
    std::tie(known.view, known.self) = below_.members(group);
    known.standing = standing_.load(std::memory_order_relaxed);
  });
  if (!may) {
    permits_.erase(group);
    return may;
  }
  return &known;
}

// Votes of ops of which callers have been told take a moment; who has too many others is told so.
Status DeviceFront::wait_for_room() {
  const size_t beginning = beginning_.size();
  const auto full = [&] { return submitted_ + beginning - ops_.over() >= DeviceOps::kMost; };
  const auto votes = [&] { return !full() || ops_.untold() + beginning >= DeviceOps::kMost; };
  if (!full() || (progress_.wait(votes, kNever) && !full())) return Status::ok();
  return Status(Code::kState, "too many ops wait for the device; wait for some of them");
}

// As the loop's owner.
bool DeviceFront::take_submitted() {
  if (!any_submitted()) return false;
  std::vector<std::unique_ptr<DeviceOp>> taken;
  {
    std::lock_guard lock(inbox_mutex_);
    taken.swap(inbox_);
    any_submitted_.store(false);
  }
  for (auto& op : taken) ops_.add(std::move(op));
  return true;
}

WindowCard DeviceFront::begin_window(GroupId group, void* memory, uint64_t bytes, Status& why_not) {
  std::pair<View, PeerId> now;
  progress_.with([&] { now = below_.members(group); });
  if (!device_) {
    why_not = why_not_;
    return {now.second, bytes, {}, {}, 0};
  }
  std::lock_guard order(submitting_);
  return windows_->begin(now.second, static_cast<std::byte*>(memory), bytes, why_not);
}

Status DeviceFront::map_window(GroupId group, const std::vector<WindowCard>& cards) {
  if (!device_) return why_not_;
  std::pair<View, PeerId> now;
  progress_.with([&] { now = below_.members(group); });
  std::lock_guard order(submitting_);
  return windows_->map(group, now.first, cards);
}

void DeviceFront::end_window(bool keep) {
  if (!device_) return;
  std::lock_guard order(submitting_);
  if (const auto* own = windows_->end(keep))
    registered_.add(own->parts[own->self].memory, own->bytes);
}

void DeviceFront::warm_up() {
  if (!device_) return;
  // Where each launch waits for its kernel, none can stand behind a gate.
  if (environment("CUDA_LAUNCH_BLOCKING").value_or("0") != "0") return;
  const auto queues = device_->own_queues_here();
  std::lock_guard order(submitting_);
  if (queues) again_.load(*device_, queues.value().in);
}

Status DeviceFront::begin(Request& request, Slot slot) {
  if (!device_) return why_not_;
  const auto queue = any_queue(request.spec, request.stream);
  if (!queue) return queue.status();
  const auto may = permit(request.group);
  if (!may) return may.status();
  if (Status room = wait_for_room(); !room) return room;
  const auto words = take_words(queue.value());
  if (!words) return words.status();
  auto made = make_op(request, *may.value(), queue.value());
  if (!made) {
    give_back(words.value());
    return made.status();
  }
  std::unique_ptr<DeviceOp> op = std::move(made).value();
  const auto* spec = std::get_if<OpSpec>(&request.spec);
  const bool is_root = spec && has_root(spec->kind) && slot == spec->root;
  Status status = op->prepare(*device_, *slabs_, words.value(),
                              request.stream ? &queue.value() : nullptr, is_root,
                              with_parts_ < kMostWithParts ? &again_ : nullptr);
  if (op->has_parts()) ++with_parts_;
  if (!status) {
    free(*op);
    if (!op->words()) give_back(words.value());
    return status;
  }
  watch_->watch(queue.value());
  // What was queued of it goes on, and its copies are never used again.
  if (status = op->enqueue_input(*device_); status) beginning_.push_back({std::move(op), &request});
  return status;
}

void DeviceFront::submit(std::span<Request> requests, Slot slot) {
  std::lock_guard order(submitting_);
  // Where memory runs out half way, what is queued is dropped, so that no stream stands.
  const struct Drop {
    ~Drop() { all.clear(); }
    std::vector<Beginning>& all;
  } at_the_end{beginning_};
  for (Request& request : requests)
    if (Status status = begin(request, slot); !status) request.handle = status;
  for (Beginning& b : beginning_)
    if (Status status = b.op->enqueue_output(*device_); !status) {
      b.request->handle = status;
      b.op.reset();
    }
  {
    std::lock_guard lock(inbox_mutex_);
    for (Beginning& b : beginning_) {
      if (!b.op) continue;
      b.request->handle = b.op->handle = ops_.take_handle();
      ++submitted_;
      inbox_.push_back(std::move(b.op));
      any_submitted_.store(true);
    }
  }
  below_.wake();
}

bool DeviceFront::look() {
  if (!device_) return false;
  const bool taken = take_submitted();
  const Below::Standing now = below_.standing();
  standing_.store(now.open ? now.epoch.value + 1 : 0, std::memory_order_release);
  if (!ops_.idle() && now.alive) ops_.unsettle(now.epoch, now.sealed);
  const bool any = ops_.look() || taken;
  watch_->set_needed(!ops_.idle());
  if (failed_ || !watch_->failed()) return any;
  failed_ = true;
  const Status status = watch_->failure();
  ops_.lose(status);
  below_.resign(status);
  return true;
}

void DeviceFront::close(Duration patience) {
  if (!device_) return;
  const auto until = std::chrono::steady_clock::now() + patience;
  progress_.with([&] { (void)look(); });
  {
    std::lock_guard in_time(submitting_);
  }  // who asked before this look is through; others are refused
  bool idle = false;
  while (!idle && std::chrono::steady_clock::now() < until) {
    progress_.with([&] {
      (void)look();
      idle = ops_.idle();
    });
    std::this_thread::yield();
  }
  watch_->stop();
  puts_->stop();
  if (!idle)
    progress_.with([&] {
      ops_.lose(Status(Code::kClosed, "the communicator was closed before the device was done"));
      (void)ops_.look();
    });
  if (idle) windows_->clear();  // else a kernel may still use what they map
  slabs_->clear();
}

void DeviceFront::break_off() {
  if (!device_) return;
  watch_->stop();
  puts_->stop();
}

}  // namespace rhz::api
