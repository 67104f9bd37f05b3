// The planner's lines for logs and for `rhizome status`.
#include <cstdio>

#include "recovery/planner/planner.h"

namespace rhz::recovery {
namespace {

std::string cost_text(const Cost& cost) {
  char text[96];
  std::snprintf(text, sizeof text, " bytes=%llu seconds=%.3g steps_lost=%llu",
                static_cast<unsigned long long>(cost.bytes), cost.seconds,
                static_cast<unsigned long long>(cost.steps_lost));
  return text;
}

}  // namespace

std::string StagePlan::line() const {
  std::string text = "stage=" + std::to_string(stage);
  if (keeps) return text + " source=none";
  text += std::string(" source=") + source_name(chosen.source) +
          " revision=" + std::to_string(chosen.revision) +
          " exact=" + (chosen.exact ? "yes" : "no") + cost_text(chosen.cost) + " why_not=\"";
  bool first = true;
  for (const Verdict& verdict : verdicts) {
    if (verdict.chosen) continue;
    text += std::string(first ? "" : "; ") + source_name(verdict.source) + ": " + verdict.reason;
    first = false;
  }
  return text + "\"";
}

std::optional<Source> StagePlan::next() const {
  const Verdict* next = nullptr;
  for (const Verdict& verdict : verdicts) {
    if (!verdict.serves || verdict.chosen || verdict.offer.revision != chosen.revision) continue;
    const bool better = next == nullptr || (verdict.offer.exact && !next->offer.exact);
    if (better) next = &verdict;
  }
  if (next == nullptr) return std::nullopt;
  return next->source;
}

std::string StagePlan::next_source() const {
  const std::optional<Source> source = next();
  return source ? source_text(*source) : "none at this revision: plan again";
}

std::string Plan::line() const {
  return "recovery revision=" + std::to_string(revision) + " exact=" + (exact ? "yes" : "no") +
         cost_text(cost);
}

}  // namespace rhz::recovery
