// Donors that keep a sync waiting: who is frozen holds nobody else up.
#include <algorithm>

#include "recovery/sync/puller.h"

namespace rhz::recovery {

bool Puller::stalled(const DonorState& donor, Time now) const {
  return donor.live && waited_for(donor) && now - donor.heard >= options_.stall;
}

void Puller::give_up_silent(Time now) {
  for (size_t i = 0; i < donors_.size(); ++i) {
    DonorState& donor = donors_[i];
    if (!donor.live || !waited_for(donor) || now - donor.heard < options_.silence) continue;
    if (now - donor.heard >= options_.silence + options_.silence / 2) {
      donor.heard = now;  // this call is far too late: it was we who slept, answers may be waiting
    } else {
      give_up(i, {Code::kTimeout, "the donor did not answer in time"});
    }
  }
}

Time Puller::next_tick() const {
  if (!running()) return kNever;
  if (more_work_) return now_;
  Time next = kNever;
  for (const DonorState& donor : donors_) {
    if (!donor.live) continue;
    if (waited_for(donor))
      next = std::min(next, donor.heard + (stalled(donor, now_) ? options_.silence : options_.stall));
    if (donor.busy_until > now_) next = std::min(next, donor.busy_until);
  }
  return next;
}

// What stalled donors owe, of those who answer; each range once more.
void Puller::ask_again(Time now, SyncActions& out) {
  for (size_t i = 0; i < asked_.size(); ++i) {
    const Asked& asked = asked_[i];
    if (asked.twice || !stalled(donors_[asked.donor], now)) continue;
    if (asked_ranges(now) >= kMaxInFlight || asked_bytes(now) >= options_.window_bytes) return;
    const Pull pull = asked.pull;
    const size_t other = pick_donor({pull.tensor, pull.offset, pull.length, asked.donor}, now);
    if (other == kNobody) return;
    asked_[i].twice = true;
    next_donor_ = (other + 1) % donors_.size();
    send(other, pull, now, out);
    asked_.back().twice = true;
    ++counters_.asked_twice;
  }
}

// The range is here.
void Puller::drop_twins(const Pull& pull) {
  std::erase_if(asked_, [&](const Asked& asked) {
    if (asked.pull != pull) return false;
    donors_[asked.donor].asked_bytes -= pull.length;
    donors_[asked.donor].owes = true;
    return true;
  });
}

// A range that did not come; unless another donor was asked for it too.
void Puller::want_again(const Pull& pull, size_t avoid) {
  if (pull.kind != PullKind::kRange) return;
  const auto twin = std::find_if(asked_.begin(), asked_.end(),
                                 [&](const Asked& asked) { return asked.pull == pull; });
  if (twin != asked_.end()) twin->twice = false;
  else wanted_.push_front({pull.tensor, pull.offset, pull.length, avoid});
}

// Stays with the one who sends the manifest, while it does.  False: nobody is left.
bool Puller::next_manifest_donor(Time now) {
  const size_t n = donors_.size();
  size_t any = kNobody, best = kNobody;
  for (size_t k = n; k-- > 0;) {  // the nearest one behind it wins, and itself before all
    const size_t i = (manifest_donor_ + k) % n;
    if (!donors_[i].live || donors_[i].place != kNobody) continue;  // companions have none
    any = i;
    if (!stalled(donors_[i], now)) best = i;
  }
  const size_t next = best != kNobody ? best : any;
  if (next == kNobody) return false;
  if (next == manifest_donor_) return true;
  for (const Asked& asked : asked_) {
    donors_[asked.donor].asked_bytes -= asked.pull.length;
    donors_[asked.donor].owes = true;
  }
  asked_.clear();
  manifest_text_.clear();
  manifest_donor_ = next;
  return true;
}

uint64_t Puller::asked_bytes(Time now) const {
  uint64_t bytes = 0;
  for (const DonorState& donor : donors_)
    if (!stalled(donor, now)) bytes += donor.asked_bytes;
  return bytes;
}

size_t Puller::asked_ranges(Time now) const {
  return static_cast<size_t>(std::count_if(asked_.begin(), asked_.end(), [&](const Asked& asked) {
    return !stalled(donors_[asked.donor], now);
  }));
}

}  // namespace rhz::recovery
