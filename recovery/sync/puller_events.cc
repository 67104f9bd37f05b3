// What happens to a sync: answers, refusals, losses of donors.
#include <algorithm>
#include <utility>

#include "recovery/sync/puller.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

Status refusal(DataStatus status) {
  switch (status) {
    case DataStatus::kClosed: return {Code::kPeerLost, "the donor went on from its admit op"};
    case DataStatus::kDiverged:
      return {Code::kDiverged, "the donor's tensors are not the logged ones"};
    default: return {Code::kDiverged, "the donor has no such range"};
  }
}

}  // namespace

SyncActions Puller::handle(PeerId from, ConstBytes payload, Time now) {
  if (!running()) return {};
  const size_t donor = find_donor(from);
  if (donor == kNobody || !donors_[donor].live) {
    ++counters_.ignored;
    return {};
  }
  if (const auto data = decode_data(payload)) {
    if (data->pull.sync == admit_.op && waited_for(donors_[donor])) {  // it lives, even where the answer is not needed
      donors_[donor].heard = now;
      donors_[donor].owes = false;
    }
    on_data(donor, *data, now);
  } else {
    give_up(donor, {Code::kCorrupt, "the donor sent something that is no STATE_DATA"});
  }
  return proceed(now);
}

SyncActions Puller::donor_lost(PeerId id, Time now) {
  if (!running()) return {};
  const size_t donor = find_donor(id);
  if (donor == kNobody) return {};
  give_up(donor, {Code::kPeerLost, "the donor was lost"});
  return proceed(now);
}

bool Puller::expects(PeerId from) const {
  const size_t donor = find_donor(from);
  return donor != kNobody && donors_[donor].live && waited_for(donors_[donor]);
}

size_t Puller::find_donor(PeerId id) const {
  const auto at = std::find_if(donors_.begin(), donors_.end(),
                               [id](const DonorState& donor) { return donor.id == id; });
  return at == donors_.end() ? kNobody : static_cast<size_t>(at - donors_.begin());
}

void Puller::on_data(size_t donor, const Data& data, Time now) {
  const auto asked = std::find_if(asked_.begin(), asked_.end(), [&](const Asked& a) {
    return a.donor == donor && a.pull == data.pull;
  });
  if (asked == asked_.end()) {  // a duplicate, or of an earlier sync
    ++counters_.ignored;
    return;
  }
  asked_.erase(asked);
  donors_[donor].asked_bytes -= data.pull.length;
  if (data.status == DataStatus::kBusy) return on_busy(donor, data.pull, now);
  if (data.status != DataStatus::kOk) {
    want_again(data.pull, kNobody);
    return give_up(donor, refusal(data.status));
  }
  donors_[donor].busy_since = kNever;
  if (data.pull.kind == PullKind::kManifest) {
    on_manifest_piece(donor, data.bytes);
  } else {
    on_range(donor, data.pull, data.bytes);
  }
}

void Puller::on_manifest_piece(size_t donor, ConstBytes bytes) {
  counters_.manifest_bytes += bytes.size();
  manifest_text_.insert(manifest_text_.end(), bytes.begin(), bytes.end());
  if (manifest_text_.size() < manifest_bytes(local_)) return;
  Result<Manifest> parsed = Manifest::parse(std::exchange(manifest_text_, {}));
  if (!parsed) {  // a manifest of more or fewer tensors than ours looks like this, too
    return give_up(donor, {Code::kDiverged, "the donor's manifest is none of these tensors: " +
                                                parsed.status().text()});
  }
  if (parsed.value().root != admit_.root || parsed.value().revision != admit_.revision)
    return give_up(donor, {Code::kDiverged, "the donor offers another revision or root"});
  if (Status status = parsed.value().matches(local_); !status)
    return give_up(donor, std::move(status));
  manifest_ = std::move(parsed).value();
  begin_ranges();
}

void Puller::on_range(size_t donor, const Pull& pull, ConstBytes bytes) {
  if (!blocks_fit(pull, bytes)) {
    ++counters_.corrupt_ranges;
    want_again(pull, donor);
    if (++donors_[donor].corrupt >= kMaxCorrupt)
      give_up(donor, {Code::kCorrupt, "the donor's bytes are not the logged ones"});
    return;
  }
  drop_twins(pull);
  local_.forget_revision();
  std::memcpy(local_.tensors()[pull.tensor].data + pull.offset, bytes.data(), bytes.size());
  counters_.fetched_bytes += bytes.size();
  const uint64_t first = pull.offset / kDigestBlockBytes;
  for (uint64_t i = 0; i < digest_blocks(bytes.size()); ++i) here_[pull.tensor][first + i] = true;
}

bool Puller::blocks_fit(const Pull& pull, ConstBytes bytes) const {
  const auto& blocks = manifest_.tensors[pull.tensor].blocks;
  const uint64_t first = pull.offset / kDigestBlockBytes;
  for (uint64_t i = 0; i < digest_blocks(bytes.size()); ++i)
    if (digest128(digest_block(bytes, i)) != blocks[first + i]) return false;
  return true;
}

// Not its fault, so the range goes back to everybody; but one that is busy for as long as it may be silent is as good as lost.
void Puller::on_busy(size_t donor, const Pull& pull, Time now) {
  want_again(pull, kNobody);
  DonorState& state = donors_[donor];
  state.busy_since = std::min(state.busy_since, now);
  state.busy_until = now + options_.busy_pause;
  if (now - state.busy_since >= options_.silence)
    give_up(donor, {Code::kTimeout, "the donor was busy for too long"});
}

void Puller::give_up(size_t donor, Status why) {
  DonorState& state = donors_[donor];
  if (!state.live) return;
  state.live = state.owes = false;
  state.asked_bytes = 0;
  ++counters_.donors_lost;
  why_ = std::move(why);
  why_.culprit = state.id;
  std::vector<Pull> owed;
  std::erase_if(asked_, [&](const Asked& asked) {
    if (asked.donor == donor) owed.push_back(asked.pull);
    return asked.donor == donor;
  });
  for (const Pull& pull : owed) want_again(pull, kNobody);
}

}  // namespace rhz::recovery
