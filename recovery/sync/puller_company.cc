// Several joiners at once: who begins where, whom one asks first, what it gives to the others.
#include <algorithm>

#include "recovery/sync/puller.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {

uint64_t Puller::part_bytes() const { return local_.shared_bytes() / joiners_ + 1; }

// The manifest is here.  The own part comes first, so that nobody else pulls it from the members meanwhile.
void Puller::begin_ranges() {
  const auto tensors = local_.tensors();
  phase_ = Phase::kRanges;
  served_ = admit_.op;
  scan_left_ = local_.shared_bytes();
  scan_tensor_ = 0;
  scan_offset_ = 0;
  before_.clear();
  here_.clear();
  const uint64_t begin = part_bytes() * place_;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    if (begin >= bytes && begin - bytes < tensors[i].bytes) {
      scan_tensor_ = i;
      scan_offset_ = (begin - bytes) / kMaxPullBytes * kMaxPullBytes;
    }
    before_.push_back(bytes);
    bytes += tensors[i].bytes;
    here_.emplace_back(digest_blocks(tensors[i].bytes), false);
  }
}

size_t Puller::companion_for(const Range& range, Time now) const {
  if (joiners_ == 1) return kNobody;
  const size_t owner = static_cast<size_t>((before_[range.tensor] + range.offset) / part_bytes());
  for (size_t i = 0; i < donors_.size(); ++i)
    if (donors_[i].place == owner && i != range.avoid && has_room(i, now)) return i;
  return kNobody;
}

bool Puller::some_member() const {
  return std::any_of(donors_.begin(), donors_.end(),
                     [](const DonorState& donor) { return donor.live && donor.place == kNobody; });
}

DataStatus Puller::find(const Pull& pull, ConstBytes& bytes) const {
  if (served_ == kNoOp || pull.sync != served_) return DataStatus::kClosed;
  const auto tensors = local_.tensors();
  if (pull.kind != PullKind::kRange || pull.tensor >= tensors.size() ||
      !is_range(pull, tensors[pull.tensor].bytes))
    return DataStatus::kRefused;
  const auto& here = here_[pull.tensor];
  const uint64_t first = pull.offset / kDigestBlockBytes;
  for (uint64_t i = 0; i < digest_blocks(pull.length); ++i)
    if (!here[first + i]) return DataStatus::kBusy;
  bytes = tensors[pull.tensor].view().subspan(pull.offset, pull.length);
  return DataStatus::kOk;
}

}  // namespace rhz::recovery
