#include "api/src/op_handle.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

void rhz_op::note(const rhz::AnySpec& spec) {
  const auto* collective = std::get_if<rhz::OpSpec>(&spec);
  if (!collective) return;
  kind_ = collective->kind;
  count_ = collective->count;
}

void rhz_op::enter_group(const rhz::AnySpec& spec) {
  note(spec);
  references_.fetch_add(1, std::memory_order_relaxed);
  in_group_.store(true, std::memory_order_release);
}

void rhz_op::leave_group(uint64_t handle) {
  handle_ = handle;
  in_group_.store(false);
  if (cancel_asked_.load()) cancel();
}

rhz::Status rhz_op::submit(const rhz::AnySpec& spec) {
  note(spec);
  const auto handle = driver_->submit(group_, spec, this);
  if (handle) handle_ = handle.value();
  return handle.status();
}

rhz::Status rhz_op::submit_on_device(rhz::AnySpec spec, void* stream) {
  note(spec);
  rhz::Request request{group_, std::move(spec), this, stream};
  driver_->submit_on_device({&request, 1});
  if (request.handle) handle_ = request.handle.value();
  return request.handle.status();
}

rhz::Status rhz_op::status() const {
  if (!outcome_.status.is_ok() || kind_ != rhz::OpKind::kVerify) return outcome_.status;
  const bool equal = verify_recv[0] == ~verify_recv[2] && verify_recv[1] == ~verify_recv[3];
  if (equal) return rhz::Status::ok();
  const bool own = verify_send[0] == verify_recv[0] && verify_send[1] == verify_recv[1];
  return rhz::Status(rhz::Code::kDiverged,
                     own ? "the ranks' states differ" : "the ranks' states differ, this one among them");
}

void rhz_op::cancel() {
  cancel_asked_.store(true);  // a group looks at it when it ends
  if (!is_in_group() && !is_released()) driver_->cancel(group_, handle_);
}

void rhz_op::when_released(const rhz::OpOutcome& outcome) {
  {
    std::lock_guard lock(event_mutex_);
    outcome_ = outcome;
    released_.store(true, std::memory_order_release);
    if (event_fd_ >= 0) eventfd_write(event_fd_, 1);
  }
  driver_->progress().notify();
}

void rhz_op::when_final(const rhz::Status& status) {
  final_status_ = status;
  final_.store(true, std::memory_order_release);
  driver_->progress().notify();
  unreference();
}

rhz::Result<int> rhz_op::event_fd() {
  std::lock_guard lock(event_mutex_);
  if (event_fd_ < 0) {
    event_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event_fd_ < 0)
      return rhz::Status(rhz::Code::kIo, std::string("eventfd: ") + std::strerror(errno));
    if (is_released()) eventfd_write(event_fd_, 1);
  }
  return event_fd_;
}

void rhz_op::unreference() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

rhz_op::~rhz_op() {
  if (event_fd_ >= 0) ::close(event_fd_);
}
