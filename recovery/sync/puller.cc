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

SyncActions Puller::start(const AdmitRecord& admit, std::span<const PeerId> donors, Time now) {
  cancel();
  local_.freeze();
  admit_ = admit;
  counters_ = {};
  why_ = {Code::kPeerLost, "no member was named as a donor"};
  for (const PeerId id : donors) {
    if (donors_.size() == kMaxDonors) break;
    if (find_donor(id) != kNobody) continue;
    DonorState donor;
    donor.id = id;
    donors_.push_back(donor);
  }
  phase_ = Phase::kManifest;
  return proceed(now);
}

void Puller::cancel() {
  phase_ = Phase::kIdle;
  donors_.clear();
  asked_.clear();
  manifest_text_ = {};
  manifest_donor_ = 0;
  manifest_ = {};
  scan_tensor_ = 0;
  scan_offset_ = 0;
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
    const size_t donor = pick_donor(range, now);
    if (donor == kNobody) break;
    wanted_.pop_front();
    next_donor_ = (donor + 1) % donors_.size();
    send(donor, {PullKind::kRange, range.tensor, admit_.op, range.offset, range.length}, now, out);
  }
  ask_again(now, out);
  if (!asked_.empty() || !wanted_.empty() || scan_tensor_ < local_.tensors().size()) return;
  phase_ = Phase::kVerify;
  check_.emplace(local_, admit_.revision);
}

// Compares local blocks with the manifest until a range differs: true, and it is in wanted_.  False: all are compared, or the
// budget is used up (more_work_).
bool Puller::scan(uint64_t& budget) {
  for (; scan_tensor_ < local_.tensors().size(); ++scan_tensor_, scan_offset_ = 0) {
    const ConstBytes tensor = local_.tensors()[scan_tensor_].view();
    const auto& theirs = manifest_.tensors[scan_tensor_].blocks;
    while (scan_offset_ < tensor.size()) {
      if (budget == 0) {
        more_work_ = true;
        return false;
      }
      const uint64_t offset = scan_offset_;
      const uint64_t end = std::min<uint64_t>(offset + kMaxPullBytes, tensor.size());
      budget -= std::min(budget, std::max(end - offset, kMinScanBytes));
      scan_offset_ = end;
      uint64_t first = end, last = end;  // of what differs
      for (uint64_t at = offset; at < end; at += kDigestBlockBytes) {
        const uint64_t block = at / kDigestBlockBytes;
        if (digest128(digest_block(tensor, block)) == theirs[block]) continue;
        first = std::min(first, at);
        last = std::min<uint64_t>(at + kDigestBlockBytes, end);
      }
      counters_.equal_bytes += end - offset - (last - first);
      if (first == end) continue;
      wanted_.push_back({scan_tensor_, first, static_cast<uint32_t>(last - first), kNobody});
      return true;
    }
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
  local_.adopt_revision(admit_.revision);
  out.emplace_back(Synced{admit_.op, admit_.revision, admit_.root});
  cancel();
}

void Puller::send(size_t donor, const Pull& pull, Time now, SyncActions& out) {
  DonorState& to = donors_[donor];
  if (!waited_for(to)) to.heard = now;
  to.asked_bytes += pull.length;
  asked_.push_back({donor, pull, false});
  out.emplace_back(SendPull{to.id, encode_pull(pull)});
}

// The next donor in turn that has room; not the one that sent wrong bytes for this range, unless it is the only one.
size_t Puller::pick_donor(const Range& range, Time now) const {
  const bool only_one = live_donors() == 1;
  for (size_t k = 0; k < donors_.size(); ++k) {
    const size_t i = (next_donor_ + k) % donors_.size();
    const DonorState& donor = donors_[i];
    if (!donor.live || now < donor.busy_until || stalled(donor, now)) continue;
    if (donor.asked_bytes >= options_.donor_window_bytes) continue;
    if (i == range.avoid && !only_one) continue;
    return i;
  }
  return kNobody;
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
