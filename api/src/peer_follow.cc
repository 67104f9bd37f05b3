// Updates since a revision that is pulled in bulk: recorded by members, applied by a joiner.
#include "api/src/closed.h"
#include "api/src/peer_driver.h"

namespace rhz {

Status PeerDriver::follow(ApplyUpdate apply) {
  Status status;
  progress_.with([&] {
    if (closed_) return void(status = closed_status());
    if (join_asked_)
      return void(status =
                      Status(Code::kState, "a joiner says before rhz_comm_join that it follows"));
    node_->set_follows(apply != nullptr);
    apply_ = std::move(apply);
  });
  return status;
}

// The copy is made here, on the caller's thread, so that the loop goes on.
Status PeerDriver::record_update(uint64_t revision, ConstBytes update) {
  Status status;
  std::optional<recovery::Update> memory;
  progress_.with([&] {
    if (closed_)
      status = closed_status();
    else if (node_->ended())
      status = node_->end_status();
    else
      memory = node_->update_memory(update.size());
  });
  if (!memory) return status;
  if (!memory->fill(revision, update))
    *memory = {};  // none is left: what is not recorded ends the recording
  progress_.with([&] {
    if (!closed_) node_->record(std::move(*memory));
  });
  return status;
}

// Inside join(), on its thread; while the program is at it, the progress thread has the loop.
// False: there is none.
bool PeerDriver::apply_update() {
  recovery::Follower::Taken update;
  bool any = false;
  progress_.with([&] {
    any = apply_ && !closed_ && node_->has_update();
    if (!any) return;
    noted_update_ = false;
    update = node_->begin_applying();
  });
  if (!any) return false;
  const bool well = apply_(update.revision, update.bytes);
  progress_.with([&] {
    if (closed_) return;
    node_->applied(loop_.now(), std::move(update), well);
    flush_control();
  });
  return true;
}

}  // namespace rhz
