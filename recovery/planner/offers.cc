#include "recovery/planner/offers.h"

#include <algorithm>
#include <utility>

namespace rhz::recovery {
namespace {

double seconds(uint64_t bytes, double rate) {
  return rate > 0 ? static_cast<double>(bytes) / rate : 0;
}

class Collector {
 public:
  Collector(const RunFacts& run, const StageFacts& stage) : run_(run), stage_(stage) {}

  StageOffers exact_ones() {
    replica();
    attach();
    vault();
    shards();
    shadow();
    disk();
    return std::move(result_);
  }

 private:
  // Members that need the state if the run goes on at `revision`: at an older one those that live
  // as well.
  uint64_t members(uint64_t revision) const {
    const uint32_t all = stage_.lost + (revision == run_.revision ? 0 : stage_.live);
    return std::max(all, 1u);
  }
  void refuse(Source source, std::string why) {
    result_.refused[static_cast<size_t>(source)] = std::move(why);
  }
  void offer(Source source, uint64_t revision, uint64_t bytes, double time) {
    if (revision > run_.revision)
      return refuse(source, "it is at revision " + std::to_string(revision) + ", the run at " +
                                std::to_string(run_.revision));
    const Cost cost{bytes * members(revision), time, run_.revision - revision};
    result_.offers.push_back({source, revision, true, cost});
  }

  void replica() {
    const uint64_t bytes = stage_.state_bytes;
    if (stage_.live == 0) return refuse(Source::replica, "no replica of the stage lives");
    offer(Source::replica, run_.revision, bytes, seconds(bytes, run_.rates.link));
  }
  void attach() {
    if (!stage_.attach) return refuse(Source::attach, "no vault holds its memory");
    if (stage_.attach->updating)
      return refuse(Source::attach, "it died inside an update of its state");
    offer(Source::attach, stage_.attach->revision, 0,
          seconds(stage_.state_bytes, run_.rates.digest));
  }
  void vault() {
    if (stage_.vault.empty()) return refuse(Source::vault, "no local vault has a snapshot");
    const uint64_t bytes = stage_.state_bytes;
    for (const uint64_t revision : stage_.vault)
      offer(Source::vault, revision, bytes, seconds(bytes, run_.rates.memory));
  }
  void shards() {
    if (!stage_.shards) return refuse(Source::shards, "no generation is sealed");
    if (stage_.shards_before) generation(*stage_.shards_before);
    generation(*stage_.shards);
  }
  void generation(const GenerationFacts& sealed) {
    const auto& left = sealed.shards_left;
    const auto lost = std::find_if(left.begin(), left.end(),
                                   [&](uint32_t shards) { return shards < sealed.data_shards; });
    if (lost != left.end())
      return refuse(Source::shards, "stripe " + std::to_string(lost - left.begin()) + " has " +
                                        std::to_string(*lost) + " shards left of the " +
                                        std::to_string(sealed.data_shards) + " it takes");
    const uint64_t bytes = stage_.state_bytes;
    offer(Source::shards, sealed.revision, bytes,
          std::max(seconds(bytes, run_.rates.link), seconds(bytes, run_.rates.coding)));
  }
  void shadow() {
    if (!stage_.shadow) return refuse(Source::shadow, "nobody shadows it");
    const uint64_t bytes = stage_.state_bytes;
    offer(Source::shadow, *stage_.shadow, bytes, seconds(bytes, run_.rates.link));
  }
  void disk() {
    if (stage_.disk.empty()) return refuse(Source::disk, "no checkpoint is complete");
    const uint64_t bytes = stage_.state_bytes;
    for (const uint64_t revision : stage_.disk)
      offer(Source::disk, revision, bytes, seconds(bytes, run_.rates.disk));
  }

  const RunFacts& run_;
  const StageFacts& stage_;
  StageOffers result_;
};

bool exact_now(const RunFacts& run, const StageOffers& stage) {
  return std::any_of(stage.offers.begin(), stage.offers.end(),
                     [&](const Offer& offer) { return offer.revision == run.revision; });
}

void add_average(const RunFacts& run, uint32_t index, std::span<const uint32_t> lost,
                 StageOffers& stage) {
  const StageFacts& facts = run.stages[index];
  std::string& refused = stage.refused[static_cast<size_t>(Source::average)];
  if (run.approximate == Approximate::never) {
    refused = "the run takes nothing approximate";
    return;
  }
  if (!facts.like_neighbours) {
    refused = "its neighbours' parameters have other shapes";
    return;
  }
  const Result<StandIn> from =
      stand_in(index, lost, static_cast<uint32_t>(run.stages.size()), run.schedule);
  if (!from) {
    refused = from.status().text();
    return;
  }
  const uint64_t bytes = facts.parameter_bytes * (from.value().copy ? 1 : 2);
  const Cost cost{bytes * std::max(facts.lost, 1u), seconds(bytes, run.rates.link), 0};
  stage.offers.push_back({Source::average, run.revision, false, cost});
}

}  // namespace

const char* source_name(Source source) {
  constexpr const char* kNames[] = {"replica", "attach",  "vault", "shards",
                                    "shadow",  "average", "disk"};
  return kNames[static_cast<size_t>(source)];
}

const char* source_text(Source source) {
  constexpr const char* kTexts[] = {"a live replica",       "memory that outlived its process",
                                    "the local vault",      "shards with parity",
                                    "the shadow optimizer", "neighbour averaging",
                                    "a checkpoint on disk"};
  return kTexts[static_cast<size_t>(source)];
}

std::vector<StageOffers> offers_of(const RunFacts& run) {
  std::vector<StageOffers> all;
  std::vector<uint32_t> lost;
  for (const StageFacts& stage : run.stages) {
    all.push_back(Collector(run, stage).exact_ones());
    if (!exact_now(run, all.back())) lost.push_back(static_cast<uint32_t>(all.size() - 1));
  }
  for (uint32_t i = 0; i < all.size(); ++i) add_average(run, i, lost, all[i]);
  return all;
}

}  // namespace rhz::recovery
