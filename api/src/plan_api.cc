// rhizome_plan.h.
#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "api/src/abi.h"
#include "api/src/handles.h"
#include "api/src/shadow_handle.h"
#include "recovery/disk/checkpoints.h"
#include "recovery/planner/gather.h"
#include "recovery/planner/planner.h"

struct rhz_plan {
  rhz::recovery::Plan plan;
  std::vector<std::string> lines;
};

namespace {

using rhz::Code;
using rhz::PeerDriver;
using rhz::Slot;
using rhz::Status;
using rhz::api::guard;
using rhz::api::read_struct;
using rhz::api::write_struct;
using rhz::recovery::Approximate;
using rhz::recovery::RunFacts;
using rhz::recovery::Sight;
using rhz::recovery::StageFacts;

constexpr uint64_t kTypicalBytes = 1u << 20;  // of the op whose costs are asked for
constexpr uint32_t kMostRevisions = 65'536, kMostStripes = 1u << 24;

Status refused(const std::string& why) { return {Code::kArgument, why}; }

template <class T>
Status read_list(const T* list, uint32_t count, uint32_t most, const char* name,
                 std::vector<T>& out) {
  if (count > most || (count > 0 && !list))
    return refused(std::string(name) + " is NULL, or has more than " + std::to_string(most));
  out.assign(list, list + count);
  return Status::ok();
}

Status read_facts(const rhz_stage_facts& known, StageFacts& facts) {
  if (known.unlike_neighbours > 1 || known.kept > RHZ_KEPT_IN_UPDATE || known.reserved != 0 ||
      known.reserved2 != 0)
    return refused("rhz_stage_facts: unlike_neighbours, kept or reserved has no such value");
  facts.live = known.live;
  facts.lost = known.lost;
  facts.state_bytes = known.state_bytes;
  facts.parameter_bytes = known.parameter_bytes;
  facts.like_neighbours = known.unlike_neighbours == 0;
  if (known.kept != RHZ_KEPT_UNKNOWN)
    facts.attach = {known.kept_revision, known.kept == RHZ_KEPT_IN_UPDATE};
  if (known.shadow_revision != 0) facts.shadow = known.shadow_revision;
  if (known.data_shards != 0) {
    facts.shards.emplace();
    facts.shards->revision = known.shards_revision;
    facts.shards->data_shards = known.data_shards;
    if (known.stripe_count == 0) return refused("rhz_stage_facts.shards_left has no stripe");
    Status s = read_list(known.shards_left, known.stripe_count, kMostStripes,
                         "rhz_stage_facts.shards_left", facts.shards->shards_left);
    if (!s) return s;
  }
  Status s = read_list(known.snapshots, known.snapshot_count, kMostRevisions,
                       "rhz_stage_facts.snapshots", facts.vault);
  return s ? read_list(known.checkpoints, known.checkpoint_count, kMostRevisions,
                       "rhz_stage_facts.checkpoints", facts.disk)
           : s;
}

Status read_stages(const rhz_plan_params& p, RunFacts& run) {
  if (p.stages == 0) return refused("rhz_plan_params.stages is 0");
  const uint64_t slots = uint64_t{p.stages} * std::max(p.replicas, 1u);
  if (slots > rhz::recovery::kMaxPlannedSlots) return refused("stages × replicas is over 65 536");
  run.stages.resize(p.stages);
  if (!p.facts) return Status::ok();
  rhz::api::StructArray<const rhz_stage_facts> given;
  if (Status s = given.open(p.facts, p.stages, "rhz_plan_params.facts"); !s) return s;
  for (uint32_t i = 0; i < p.stages; ++i) {
    rhz_stage_facts known{};
    if (Status s = read_struct(given.at(i), "rhz_stage_facts", known); !s) return s;
    if (Status s = read_facts(known, run.stages[i]); !s) return s;
  }
  return Status::ok();
}

Status read_rate(double given, const char* name, double& rate) {
  if (!std::isfinite(given) || given < 0)
    return refused(std::string("rhz_plan_params.") + name + " is negative or not finite");
  if (given > 0) rate = given;
  return Status::ok();
}

Status read_choices(const rhz_plan_params& p, RunFacts& run) {
  if (p.schedule > RHZ_SCHEDULE_SWAPPED)
    return refused("schedule " + std::to_string(p.schedule) + " is none of RHZ_SCHEDULE_*");
  run.schedule = static_cast<rhz::recovery::Schedule>(p.schedule);
  switch (p.approximate) {
    case RHZ_APPROXIMATE_DEFAULT: break;
    case RHZ_APPROXIMATE_LAST_RESORT: run.approximate = Approximate::last_resort; break;
    case RHZ_APPROXIMATE_NEVER: run.approximate = Approximate::never; break;
    case RHZ_APPROXIMATE_BEFORE_DISK: run.approximate = Approximate::before_disk; break;
    default:
      return refused("approximate " + std::to_string(p.approximate) +
                     " is none of RHZ_APPROXIMATE_*");
  }
  run.revision = p.revision;
  Status s = read_rate(p.step_seconds, "step_seconds", run.step_seconds);
  if (s) s = read_rate(p.link_rate, "link_rate", run.rates.link);
  if (s) s = read_rate(p.memory_rate, "memory_rate", run.rates.memory);
  if (s) s = read_rate(p.digest_rate, "digest_rate", run.rates.digest);
  if (s) s = read_rate(p.coding_rate, "coding_rate", run.rates.coding);
  if (s) s = read_rate(p.disk_rate, "disk_rate", run.rates.disk);
  return s;
}

Status see_shadow(const rhz_plan_params& p, RunFacts& run) {
  if (!p.shadow) return Status::ok();
  if (p.shadow_stage >= p.stages)
    return refused("rhz_plan_params.shadow_stage is no stage of " + std::to_string(p.stages));
  std::optional<uint64_t>& known = run.stages[p.shadow_stage].shadow;
  if (!known) known = p.shadow->shadow->revision();
  return Status::ok();
}

// The slowest link that was measured.
double link_rate(PeerDriver& driver) {
  const auto forecast = driver.forecast(rhz::kRootGroup, kTypicalBytes);
  if (!forecast || forecast.value().from == rhz::kNoOp) return 0;
  const auto& costs = forecast.value().costs;
  const uint64_t ps = costs.remote.ps_per_kib ? costs.remote.ps_per_kib : costs.local.ps_per_kib;
  return ps ? 1024e12 / static_cast<double>(ps) : 0;
}

Status see(PeerDriver& driver, const rhz_plan_params& p, RunFacts& run) {
  const auto now = driver.membership();
  if (!now.joined) return {Code::kState, "not a member yet: call rhz_comm_join first"};
  Sight sight;
  sight.replicas = std::max(p.replicas, 1u);
  for (const rhz::MemberInfo& member : now.view.members) sight.here.insert(member.slot);
  std::vector<uint32_t> without;
  if (Status s = read_list(p.without, p.without_count, rhz::recovery::kMaxPlannedSlots,
                           "rhz_plan_params.without", without);
      !s)
    return s;
  for (const uint32_t slot : without) sight.here.erase(Slot(slot));
  sight.holdings = driver.keeper().holdings();
  sight.state_bytes = driver.keeper().state_bytes();
  std::tie(sight.generations, sight.vaults) = driver.shards().seen();
  if (p.folder) {
    auto found = driver.checkpoints().complete(p.folder);
    if (!found) return found.status();
    sight.disk = std::move(found).value();
  }
  if (run.revision == 0) run.revision = now.revision;
  if (const double rate = link_rate(driver); p.link_rate == 0 && rate > 0) run.rates.link = rate;
  for (uint32_t i = 0; i < run.stages.size(); ++i) complete(run.stages[i], gather(sight, i));
  return Status::ok();
}

uint32_t number_of(rhz::recovery::Source source) {
  return RHZ_SOURCE_REPLICA + static_cast<uint32_t>(source);
}
static_assert(static_cast<int>(rhz::recovery::Source::disk) + RHZ_SOURCE_REPLICA ==
              RHZ_SOURCE_DISK);

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_plan_make(rhz_comm* comm, const rhz_plan_params* params,
                                 rhz_plan** out_plan) {
  return guard([&]() -> Status {
    if (!out_plan) return Status(Code::kArgument, "out_plan is NULL");
    *out_plan = nullptr;
    rhz_plan_params known{};
    if (Status s = read_struct(params, "rhz_plan_params", known); !s) return s;
    RunFacts run;
    if (Status s = read_stages(known, run); !s) return s;
    if (Status s = read_choices(known, run); !s) return s;
    if (Status s = see_shadow(known, run); !s) return s;
    if (comm) {
      auto driver = rhz::api::find_comm(comm);
      if (!driver) return driver.status();
      if (Status s = see(*driver.value(), known, run); !s) return s;
    }
    auto made = rhz::recovery::make_plan(run);
    if (!made) return made.status();
    auto plan = std::make_unique<rhz_plan>();
    plan->plan = std::move(made).value();
    plan->lines.push_back(plan->plan.line());
    for (const auto& stage : plan->plan.stages) plan->lines.push_back(stage.line());
    *out_plan = plan.release();
    return Status::ok();
  });
}

RHZ_API rhz_status rhz_plan_info_get(const rhz_plan* plan, rhz_plan_info* out_info) {
  return guard([&]() -> Status {
    if (!plan) return Status(Code::kArgument, "the plan is NULL");
    rhz_plan_info info{};
    info.revision = plan->plan.revision;
    info.bytes = plan->plan.cost.bytes;
    info.seconds = plan->plan.cost.seconds;
    info.steps_lost = plan->plan.cost.steps_lost;
    info.exact = plan->plan.exact;
    info.stages = static_cast<uint32_t>(plan->plan.stages.size());
    return write_struct(info, "rhz_plan_info", out_info);
  });
}

RHZ_API rhz_status rhz_plan_stage_get(const rhz_plan* plan, uint32_t stage,
                                      rhz_stage_plan* out_stage) {
  return guard([&]() -> Status {
    if (!plan) return Status(Code::kArgument, "the plan is NULL");
    if (stage >= plan->plan.stages.size())
      return Status(Code::kArgument, "stage " + std::to_string(stage) + " of " +
                                         std::to_string(plan->plan.stages.size()) +
                                         " there is not");
    const auto& made = plan->plan.stages[stage];
    rhz_stage_plan out{};
    out.exact = 1;
    if (!made.keeps) {
      out.source = number_of(made.chosen.source);
      out.exact = made.chosen.exact;
      out.bytes = made.chosen.cost.bytes;
      out.seconds = made.chosen.cost.seconds;
      if (const auto next = made.next()) out.next_source = number_of(*next);
    }
    return write_struct(out, "rhz_stage_plan", out_stage);
  });
}

RHZ_API const char* rhz_plan_line(const rhz_plan* plan, uint32_t line) {
  return plan && line < plan->lines.size() ? plan->lines[line].c_str() : nullptr;
}

RHZ_API void rhz_plan_close(rhz_plan* plan) { delete plan; }
}
