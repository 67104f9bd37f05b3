// How a peer's part in a run ends: it leaves, is closed, or breaks off.
#include "api/src/closed.h"
#include "api/src/device_front.h"
#include "api/src/peer_driver.h"
#include "runtime/base/out_of_memory.h"

namespace rhz {
namespace {

const Status kNoMemory(Code::kMemory, "close this peer");  // so short that a copy needs none

}  // namespace

Status PeerDriver::leave(Duration timeout) {
  const Time deadline = loop_.now() + timeout;
  bool idle = false, ended = false;
  auto wait_until = [&](bool& flag, const std::function<bool()>& test) {
    while (true) {
      progress_.with([&] { flag = test(); });
      if (flag || loop_.now() >= deadline) return;
      (void)progress_.wait([] { return false; }, std::min(deadline, loop_.now() + milliseconds(2)));
    }
  };
  progress_.with([&] { leaving_ = true; });
  wait_until(idle, [&] { return closed_ || is_idle() || node_->ended(); });
  progress_.with([&] {
    if (closed_) return;
    if (!node_->ended()) node_->leave(loop_.now());
    flush_control();
  });
  if (idle) wait_until(ended, [&] { return closed_ || node_->ended(); });
  const auto closed = std::make_shared<std::atomic<bool>>(
      false);  // the transport may call back after we stopped waiting
  progress_.with([&] {
    if (closed_ || std::exchange(transport_closing_, true)) return void(*closed = true);
    if (!node_->ended()) node_->abandon(loop_.now(), Status(Code::kClosed, "left the run"));
    transport_->close(loop_.now() + milliseconds(500), [closed] { *closed = true; });
  });
  const Time bound = loop_.now() + milliseconds(750);
  (void)progress_.wait([&] { return closed->load(); }, bound);
  progress_.with([&] {
    if (closed_) return;
    control_.stop();
    note_changes();
  });
  keeper_->left();
  if (idle) return Status::ok();
  return Status(Code::kTimeout, "ops were still open when the time for leaving was over");
}

void PeerDriver::close() {
  keeper_->stop();
  carrier_.stop();
  shards_->stop();
  checkpoints_->stop();
  const bool well = had_memory([this] {
    progress_.with([this] {
      if (closed_) return;
      closed_ = true;
      if (!node_) return;
      if (!node_->ended()) node_->abandon(loop_.now(), closed_status());
      control_.stop();
      note_changes();
      device_->ops().refuse_all(closed_status());
      node_.reset();
      transport_.reset();
    });
    close_device();
  });
  if (!well) device_->break_off();
  progress_.stop();
}

// As the loop's owner, after a step that found no memory half way.  What the cores hold may be half of anything: it is not used again, and
// the ends of connections tell the others.  No memory is needed here.
void PeerDriver::break_off() noexcept {
  closed_ = true;
  node_.reset();
  transport_.reset();
  control_.stop();
  device_->ops().refuse_all(kNoMemory);
  device_->ops().let_streams_go();
  open_ops_.end_all(kNoMemory);
  recorder_.note(loop_.now(), LogLevel::kWarn, "event=end status=%d text=\"no memory in the middle of a step\"", static_cast<int>(kNoMemory.code()));
}

}  // namespace rhz
