// Digests of results in the done-wave (O2): compared when those of all participants are here.
#include <algorithm>
#include <map>

#include "collectives/communicator.h"
#include "runtime/base/canary.h"

namespace rhz {
namespace {
constexpr size_t kMostNames = 8;  // of slots in a text

std::string names_of(const std::vector<Slot>& slots) {
  std::string text = slots.size() == 1 ? "slot " : "slots ";
  for (size_t i = 0; i < slots.size() && i < kMostNames; ++i)
    text += (i > 0 ? ", " : "") + std::to_string(slots[i].value);
  return slots.size() > kMostNames ? text + ", …" : text;
}
}  // namespace

void Communicator::note_full(Op& op) {
  if (!op.executor || !op.executor->is_compared()) return;
  op.digest = op.executor->digest();
  owed_.push_back({op.seq, op.digest});
}

bool Communicator::is_known(const Op& op, Rank rank) const {
  return (op.seq < proven_upto_ || wave_.knows(rank, op.seq)) &&
         (!op.executor->is_compared() || wave_.digest(rank, op.seq).has_value());
}

// Of an op whose wave is known.
bool Communicator::agrees(const Op& op) const {
  if (!op.executor->is_compared() || canary(Rule::kO2)) return true;
  const std::vector<Rank>& ring = ring_of(op.seq);
  return std::all_of(ring.begin(), ring.end(), [&](Rank r) {
    return r == rank_ || wave_.digest(r, op.seq) == op.digest;
  });
}

// The wave of an op is known.
void Communicator::conclude(Time now, Op& op) {
  if (!agrees(op)) return diverge(op);
  if (!in_doubt_) free(now, op);
}

// All members see the same digests, so that nobody frees the op in this epoch: it can be ended alike everywhere, by a FAIL.
void Communicator::diverge(Op& op) {
  // Here, or elsewhere, the caller has its result.
  in_doubt_ |= op.released || op.executor->retains();
  if (op.fail.code() == Code::kDiverged) return;
  op.fail = divergence(op);
  op.fail.epoch = epoch_;
  news_.failed.push_back({op.seq, op.fail});
}

// Names those who differ from more than half of all.
Status Communicator::divergence(const Op& op) const {
  std::map<uint64_t, std::vector<Rank>> camps;
  const std::vector<Rank>& ring = ring_of(op.seq);
  for (Rank r : ring) camps[r == rank_ ? op.digest : *wave_.digest(r, op.seq)].push_back(r);
  std::vector<Rank> odd;
  const auto is_most = [&](const auto& camp) { return 2 * camp.second.size() > ring.size(); };
  const bool majority = std::any_of(camps.begin(), camps.end(), is_most);
  for (const auto& camp : camps)
    if (!majority || !is_most(camp)) odd.insert(odd.end(), camp.second.begin(), camp.second.end());
  std::sort(odd.begin(), odd.end());
  std::vector<Slot> slots;
  for (Rank r : odd) slots.push_back(view_.members[r.value].slot);
  std::string text = names_of(slots) + (slots.size() == 1 ? " has" : " have");
  if (majority)
    text += " another result of op " + std::to_string(op.seq.value) + " than the other " +
            std::to_string(ring.size() - odd.size());
  else
    text += " different results of op " + std::to_string(op.seq.value) + ", and no majority says whose is right";
  Status status(Code::kDiverged, text + "; look for writes to buffers of open ops, and for broken hardware");
  if (majority) status.culprit = view_.members[odd.front().value].id;
  return status;
}

// Agreed: results that callers have already differ.  What was computed from them cannot be called back, and this peer is to end.
void Communicator::give_up(const Status& status) {
  news_.diverged = status;
  in_doubt_ = true;
}

}  // namespace rhz
