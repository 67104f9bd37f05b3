// Whose state counts at an admit op, and whether a newcomer's tensors are those of the members.
#include <algorithm>

#include "runtime/membership/coordinator.h"

namespace rhz {

// Members that are send-only decide alone; those that are receive-only have no vote; of the others the most common state counts.
std::optional<Coordinator::Election> Coordinator::elect() const {
  const bool owned = std::any_of(view_.members.begin(), view_.members.end(), [&](const MemberInfo& member) {
    return peers_.at(member.id).state.strategy == SyncStrategy::kSendOnly;
  });
  std::map<std::pair<uint64_t, Digest>, uint32_t> votes;
  Election election;
  election.op = kNoOp;
  for (const MemberInfo& member : view_.members) {
    const Peer& peer = peers_.at(member.id);
    if (!peer.admit || (election.op != kNoOp && peer.admit->op != election.op)) return {};
    election.op = peer.admit->op;
    const SyncStrategy strategy = peer.state.strategy;
    const bool votes_here = owned ? strategy == SyncStrategy::kSendOnly : strategy == SyncStrategy::kPopular;
    if (votes_here) ++votes[{peer.admit->revision, peer.admit->root}];
  }
  if (votes.empty()) {
    election.nobody = {Code::kState, "nobody sends: all " + std::to_string(view_.size()) +
                                         " members are receive-only, so that a joiner can get its state from none"};
    return election;
  }
  if (owned && votes.size() > 1) {
    election.nobody = {Code::kDiverged, "members that are send-only hold " + std::to_string(votes.size()) +
                                            " different states, of revisions " +
                                            std::to_string(votes.begin()->first.first) + " to " +
                                            std::to_string(votes.rbegin()->first.first) + ": which one counts?"};
    return election;
  }
  const auto popular = std::max_element(
      votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  election.revision = popular->first.first;
  election.root = popular->first.second;
  return election;
}

// Compared with the first member that has told its own; while none has, anything may be right.
Status Coordinator::foreign_tensors(const StateNote& note) const {
  for (const MemberInfo& member : view_.members) {
    const StateNote& known = peers_.at(member.id).state;
    if (known.shape == Digest{}) continue;
    if (known.shape == note.shape) return Status::ok();
    std::string what = first_difference(note.tensors, known.tensors);
    if (what.empty())
      what = "the tensors registered here differ from the members' in name, dtype or count, behind the first " +
             std::to_string(TensorList::kMost) + " by name";
    return {Code::kDiverged, std::move(what)};
  }
  return Status::ok();
}

}  // namespace rhz
