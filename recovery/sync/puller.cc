// What a sync can do next: ask for the manifest, ask for ranges, verify.
#include "recovery/sync/puller.h"

#include <algorithm>
#include <utility>

#include "runtime/base/assert.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {

// Comparing a tensor costs at least so much of a call's budget, however small it is.
constexpr uint64_t kMinScanBytes = 4096;

Puller::Puller(State& local, Options options) : local_(local), options_(options) {
  RHZ_ASSERT("B1", options.window_bytes > 0 && options.donor_window_bytes > 0);
  RHZ_ASSERT("B1", options.step_bytes > 0);
}

SyncActions Puller::start(const AdmitRecord& admit, std::span<const PeerId> donors, Time now,
                          Company company) {
  cancel();
  local_.freeze();
  admit_ = admit;
  counters_ = {};
  why_ = {Code::kPeerLost, "no member was named as a donor"};
  auto name = [&](PeerId id, size_t place) {
    if (donors_.size() == kMaxDonors || find_donor(id) != kNobody) return;
    DonorState donor;
    donor.id = id;
    donor.place = place;
    donors_.push_back(donor);
  };
  for (const PeerId id : donors) name(id, kNobody);
  joiners_ = std::max<size_t>(company.joiners.size(), 1);
  for (size_t i = 0; i < company.joiners.size(); ++i) {
    if (company.joiners[i] == company.self) place_ = i;
    else name(company.joiners[i], i);
  }
  phase_ = Phase::kManifest;
  return proceed(now);
}

void Puller::cancel() {
  finish();
  served_ = kNoOp;
  here_ = {};
}

// Companions may go on to ask.
void Puller::finish() {
  phase_ = Phase::kIdle;
  donors_.clear();
  asked_.clear();
  manifest_text_ = {};
  manifest_donor_ = 0;
  manifest_ = {};
  joiners_ = 1;
  place_ = 0;
  scan_left_ = 0;
  wanted_.clear();
  next_donor_ = 0;
  check_.reset();
  more_work_ = false;
}

SyncActions Puller::tick(Time now) {
  if (!running()) return {};
  give_up_silent(now);
  return proceed(now);
}

SyncActions Puller::proceed(Time now) {
  SyncActions out;
  now_ = now;
  more_work_ = false;
  if (phase_ == Phase::kManifest) ask_manifest(now, out);
  if (phase_ == Phase::kRanges) ask_ranges(now, out);
  if (phase_ == Phase::kVerify) verify(out);
  return out;
}

void Puller::ask_manifest(Time now, SyncActions& out) {
  if (!next_manifest_donor(now)) return fail(why_, out);
  if (!asked_.empty() || now < donors_[manifest_donor_].busy_until) return;
  const uint64_t missing = manifest_bytes(local_) - manifest_text_.size();
  send(manifest_donor_,
       {PullKind::kManifest, 0, admit_.op, manifest_text_.size(),
        static_cast<uint32_t>(std::min<uint64_t>(missing, kMaxPullBytes))},
       now, out);
}

void Puller::ask_ranges(Time now, SyncActions& out) {
  uint64_t budget = options_.step_bytes;
  while (asked_ranges(now) < kMaxInFlight && asked_bytes(now) < options_.window_bytes) {
    if (wanted_.empty() && !scan(budget)) break;
    if (live_donors() == 0) return fail(why_, out);
    const Range range = wanted_.front();
    if (read_only_) {
      return fail({Code::kDiverged, "this peer is send-only, and its tensor \"" + local_.tensors()[range.tensor].name +
                                        "\" is not that of the members' revision " + std::to_string(admit_.revision)},
                  out);
    }
    const size_t donor = pick_donor(range, now);
    if (donor == kNobody) break;
    wanted_.pop_front();
    if (donors_[donor].place == kNobody) next_donor_ = (donor + 1) % donors_.size();
    send(donor, {PullKind::kRange, range.tensor, admit_.op, range.offset, range.length}, now, out);
  }
  ask_again(now, out);
  if (!asked_.empty() || !wanted_.empty() || scan_left_ > 0) return;
  phase_ = Phase::kVerify;
  check_.emplace(local_, admit_.revision);
}

// Compares local blocks with the manifest until a range differs: true, and it is in wanted_.  False: all are compared, or the
// budget is used up (more_work_).
bool Puller::scan(uint64_t& budget) {
  while (scan_left_ > 0) {
    const ConstBytes tensor = local_.tensors()[scan_tensor_].view();
    if (scan_offset_ == tensor.size()) {
      scan_tensor_ = (scan_tensor_ + 1) % static_cast<uint32_t>(local_.tensors().size());
      scan_offset_ = 0;
      continue;
    }
    if (budget == 0) {
      more_work_ = true;
      return false;
    }
    const auto& theirs = manifest_.tensors[scan_tensor_].blocks;
    const uint64_t offset = scan_offset_;
    const uint64_t end = std::min<uint64_t>(offset + kMaxPullBytes, tensor.size());
    budget -= std::min(budget, std::max(end - offset, kMinScanBytes));
    scan_offset_ = end;
    scan_left_ -= end - offset;
    uint64_t first = end, last = end;  // of what differs
    for (uint64_t at = offset; at < end; at += kDigestBlockBytes) {
      const uint64_t block = at / kDigestBlockBytes;
      if (digest128(digest_block(tensor, block)) == theirs[block]) {
        here_[scan_tensor_][block] = true;
        continue;
      }
      first = std::min(first, at);
      last = std::min<uint64_t>(at + kDigestBlockBytes, end);
    }
    counters_.equal_bytes += end - offset - (last - first);
    if (first == end) continue;
    wanted_.push_back({scan_tensor_, first, static_cast<uint32_t>(last - first), kNobody});
    return true;
  }
  return false;
}

void Puller::verify(SyncActions& out) {
  if (!check_->advance(options_.step_bytes)) {
    more_work_ = true;
    return;
  }
  if (check_->take().root != admit_.root)
    return fail({Code::kDiverged, "the registered tensors changed while they were synced"}, out);
  if (!leaves_revision_) local_.adopt_synced(admit_.revision);
  out.emplace_back(Synced{admit_.op, admit_.revision, admit_.root});
  finish();
}

void Puller::send(size_t donor, const Pull& pull, Time now, SyncActions& out) {
  DonorState& to = donors_[donor];
  if (!waited_for(to)) to.heard = now;
  to.asked_bytes += pull.length;
  asked_.push_back({donor, pull, false});
  out.emplace_back(SendPull{to.id, encode_pull(pull)});
}

// The companion whose part it is; else the next member in turn that has room; not the one that sent wrong bytes for this range,
// unless it is the only one.
size_t Puller::pick_donor(const Range& range, Time now) const {
  if (const size_t companion = companion_for(range, now); companion != kNobody) return companion;
  const bool only_one = live_donors() == 1, members = some_member();
  for (size_t k = 0; k < donors_.size(); ++k) {
    const size_t i = (next_donor_ + k) % donors_.size();
    if (!has_room(i, now) || (members && donors_[i].place != kNobody)) continue;
    if (i == range.avoid && !only_one) continue;
    return i;
  }
  return kNobody;
}

bool Puller::has_room(size_t donor, Time now) const {
  const DonorState& state = donors_[donor];
  return state.live && now >= state.busy_until && !stalled(state, now) &&
         state.asked_bytes < options_.donor_window_bytes;
}

size_t Puller::live_donors() const {
  return static_cast<size_t>(std::count_if(donors_.begin(), donors_.end(),
                                           [](const DonorState& donor) { return donor.live; }));
}

void Puller::fail(Status status, SyncActions& out) {
  out.emplace_back(SyncFailed{admit_.op, std::move(status)});
  cancel();
}

}  // namespace rhz::recovery
