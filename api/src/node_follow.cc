// A Node as a joiner that has pulled a revision in bulk, and goes on with the updates that members
// recorded since. docs/recovery.md, "Following".
#include "api/src/node.h"

namespace rhz {

void Node::follow(Time now, SyncedMessage&& bulk) {
  puller_.cancel();  // these tensors change: companions get from members what they lack
  const OpSeq op = bulk.op;
  const uint64_t revision = bulk.revision;
  bulk_over_ = std::move(bulk);
  follow_end_ = now + follow_patience();
  sync_actions(now, follower_.start(op, revision, state_.shared_bytes(), bulk_donors_, now));
  follow_on(now);
}

recovery::Follower::Taken Node::begin_applying() {
  state_.forget_revision();
  return follower_.begin_applying();
}

void Node::applied(Time now, recovery::Follower::Taken&& update, bool well) {
  if (well) ++numbers_.updates;
  numbers_.update_bytes = follower_.pulled_bytes();
  follow_until_ = now + kFollowPatience;
  recovery::SyncActions actions = follower_.applied(std::move(update), well, now);
  if (ended_) return follower_.stop();
  sync_actions(now, std::move(actions));
  follow_on(now);
  settle(now);
}

// Says that the bulk is here when there is nothing left to apply, and begins what waits for that.
// Whoever makes updates no faster than the members does neither, and is not waited for longer than
// the pull of all of the state would take.
void Node::follow_on(Time now) {
  if (ended_ || follower_.applying()) return;
  if (bulk_over_ && (follower_.at_end() || !follower_.running() || now >= follow_end_)) {
    member_.synced(now, std::move(*bulk_over_));
    bulk_over_.reset();
  }
  if (!held_sync_) return;
  const bool behind = !held_sync_->bulk && follower_.revision() < held_sync_->record.revision;
  if (behind && follower_.running() && now < std::min(follow_until_, follow_end_)) return;
  const SyncAction begins = std::move(*held_sync_);
  held_sync_.reset();
  follower_.stop();
  pull(now, begins);
}

Time Node::tick_follow(Time now) {
  if (follower_.running() && now >= follower_.next_tick()) sync_actions(now, follower_.tick(now));
  follow_on(now);
  Time next = follower_.next_tick();
  if (follower_.applying()) return next;
  if (bulk_over_) next = std::min(next, follow_end_);
  if (held_sync_) next = std::min({next, follow_until_, follow_end_});
  return next;
}

void Node::lose_donor(Time now, PeerId peer) {
  if (puller_.running()) sync_actions(now, puller_.donor_lost(peer, now));
  sync_actions(now, follower_.donor_lost(peer, now));
  follow_on(now);
}

}  // namespace rhz
