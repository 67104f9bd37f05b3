#include "api/tools/chaos_views.h"

#include <algorithm>
#include <utility>

#include "api/tools/text.h"

namespace rhz::tools {

void ViewWatch::known(uint64_t epoch) { known_ = std::max(known_, epoch); }

std::string ViewWatch::told(uint64_t epoch) {
  if (epoch < owed_)
    return format("the coordinator is at epoch %llu after a restart; epoch %llu had been told before", static_cast<unsigned long long>(epoch),
                  static_cast<unsigned long long>(std::exchange(owed_, 0)));
  // Each view is one epoch behind the last one.
  if (counts_ && epoch > newest_) changes_ += epoch - newest_;
  newest_ = std::max(newest_, epoch);
  known(epoch);
  return {};
}

void ViewWatch::count() { counts_ = true; }

void ViewWatch::explained(uint64_t epoch, std::string_view cause) {
  causes_.emplace(epoch, cause);
  if (causes_.size() > kMostCauses) causes_.erase(causes_.begin());
  if (epoch <= of_an_op_ || !cause.starts_with("op ")) return;
  of_an_op_ = epoch;
  expected_ += counts_;
}

std::string ViewWatch::causes_behind(uint64_t epoch) const {
  std::string all;
  for (auto at = causes_.upper_bound(epoch); at != causes_.end(); ++at)
    all += (all.empty() ? "epoch " : "; epoch ") + std::to_string(at->first) + ": " + at->second;
  return all;
}

std::string ViewWatch::flapping() {
  if (changes_ <= expected_ || std::exchange(said_, true)) return {};
  return format("%llu changes of the view, where what struck, who came and ops that failed explain %llu at most", static_cast<unsigned long long>(changes_),
                static_cast<unsigned long long>(expected_));
}

}  // namespace rhz::tools
