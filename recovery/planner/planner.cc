#include "recovery/planner/planner.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

namespace rhz::recovery {
namespace {

// One way to bring the run back: a revision, and an offer for each stage that needs one.
struct Way {
  uint64_t revision = 0;
  std::vector<std::optional<Offer>> chosen;  // by stage; none: it keeps what it has
  Cost cost;
  bool exact = true;
  bool disk = false;
};

bool keeps(const RunFacts& run, const StageFacts& stage, uint64_t revision) {
  return revision == run.revision && stage.live > 0 && stage.lost == 0;
}

// The cheapest; exact ones first.
const Offer* best(const StageOffers& stage, uint64_t revision) {
  const auto rank = [](const Offer& offer) {
    return std::tuple(!offer.exact, offer.source == Source::disk && offer.exact, offer.cost.seconds,
                      offer.source);
  };
  const Offer* best = nullptr;
  for (const Offer& offer : stage.offers) {
    if (offer.revision != revision) continue;
    if (best == nullptr || rank(offer) < rank(*best)) best = &offer;
  }
  return best;
}

std::optional<Way> way_to(const RunFacts& run, const std::vector<StageOffers>& offers,
                          uint64_t revision) {
  Way way;
  way.revision = revision;
  way.cost.steps_lost = run.revision - revision;
  for (size_t i = 0; i < run.stages.size(); ++i) {
    way.chosen.emplace_back();
    if (keeps(run, run.stages[i], revision)) continue;
    const Offer* offer = best(offers[i], revision);
    if (offer == nullptr) return std::nullopt;
    way.chosen.back() = *offer;
    way.cost.bytes += offer->cost.bytes;
    way.cost.seconds = std::max(way.cost.seconds, offer->cost.seconds);
    way.exact = way.exact && offer->exact;
    way.disk = way.disk || offer->source == Source::disk;
  }
  return way;
}

auto rank(const RunFacts& run, const Way& way) {
  int order = 0;
  if (!way.exact) order = run.approximate == Approximate::before_disk ? 1 : 2;
  if (way.exact && way.disk && run.approximate == Approximate::before_disk) order = 2;
  const double until_back =
      way.cost.seconds + static_cast<double>(way.cost.steps_lost) * run.step_seconds;
  return std::tuple(order, until_back, way.cost.steps_lost);
}

Status nothing_serves(const RunFacts& run, const std::vector<StageOffers>& offers) {
  for (size_t i = 0; i < offers.size(); ++i) {
    if (!offers[i].offers.empty()) continue;
    std::string text = "stage " + std::to_string(i) + ": nothing gives its state back";
    for (size_t source = 0; source < kSources; ++source)
      text += std::string("; ") + source_name(static_cast<Source>(source)) + ": " +
              offers[i].refused[source];
    return {Code::kStateLost, std::move(text)};
  }
  std::string text = "no revision can be had by all stages";
  for (size_t i = 0; i < offers.size(); ++i) {
    std::set<uint64_t, std::greater<>> revisions;
    for (const Offer& offer : offers[i].offers) revisions.insert(offer.revision);
    if (keeps(run, run.stages[i], run.revision)) revisions.insert(run.revision);
    text += "; stage " + std::to_string(i) + " has";
    for (const uint64_t revision : revisions) text += " " + std::to_string(revision);
  }
  return {Code::kStateLost, std::move(text)};
}

// The offer of a source that the plan could have taken, or else its newest one.
const Offer* offer_of(const StageOffers& stage, Source source, uint64_t revision) {
  const Offer* found = nullptr;
  for (const Offer& offer : stage.offers) {
    if (offer.source != source) continue;
    if (offer.revision == revision) return &offer;
    if (found == nullptr || offer.revision > found->revision) found = &offer;
  }
  return found;
}

std::string why_not(const Offer& offer, const Offer& chosen) {
  if (offer.revision != chosen.revision)
    return "it is at revision " + std::to_string(offer.revision) + ", the plan at " +
           std::to_string(chosen.revision);
  if (!offer.exact) return "it is approximate";
  return offer.source == Source::disk ? "the disk comes last" : "it takes longer";
}

StagePlan explain(uint32_t index, const StageOffers& offers, const std::optional<Offer>& chosen) {
  StagePlan plan;
  plan.stage = index;
  plan.keeps = !chosen;
  if (!chosen) return plan;
  plan.chosen = *chosen;
  for (size_t i = 0; i < kSources; ++i) {
    Verdict verdict;
    verdict.source = static_cast<Source>(i);
    const Offer* offer = offer_of(offers, verdict.source, chosen->revision);
    verdict.chosen = verdict.source == chosen->source;
    verdict.serves = offer != nullptr;
    if (offer == nullptr) {
      verdict.reason = offers.refused[i];
    } else {
      verdict.offer = *offer;
      if (!verdict.chosen) verdict.reason = why_not(*offer, *chosen);
    }
    plan.verdicts.push_back(std::move(verdict));
  }
  return plan;
}

}  // namespace

Result<Plan> make_plan(const RunFacts& run) {
  if (run.stages.empty()) return Status(Code::kArgument, "a run has at least one stage");
  const std::vector<StageOffers> offers = offers_of(run);
  std::set<uint64_t> revisions = {run.revision};
  for (const StageOffers& stage : offers)
    for (const Offer& offer : stage.offers) revisions.insert(offer.revision);
  std::optional<Way> chosen;
  for (const uint64_t revision : revisions) {
    std::optional<Way> way = way_to(run, offers, revision);
    if (way && (!chosen || rank(run, *way) < rank(run, *chosen))) chosen = std::move(way);
  }
  if (!chosen) return nothing_serves(run, offers);
  Plan plan;
  plan.revision = chosen->revision;
  plan.exact = chosen->exact;
  plan.cost = chosen->cost;
  for (uint32_t i = 0; i < offers.size(); ++i)
    plan.stages.push_back(explain(i, offers[i], chosen->chosen[i]));
  return plan;
}

}  // namespace rhz::recovery
