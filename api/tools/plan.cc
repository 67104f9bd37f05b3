// `rhizome plan`: where a run's state would come from, asked from outside and without acting.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "api/tools/commands.h"
#include "api/tools/status_client.h"
#include "api/tools/text.h"
#include "recovery/disk/checkpoints.h"
#include "recovery/planner/gather.h"
#include "recovery/planner/planner.h"
#include "recovery/vault/client.h"
#include "runtime/wire/frame.h"

namespace rhz::tools {
namespace {

using recovery::Approximate;
using recovery::Holding;

constexpr Duration kPlanPatience = milliseconds(1800);  // with the coordinator, and with the vault

struct PlanOptions {
  std::string coordinator, run_id, checkpoints, state;
  std::string approximate = "last-resort", order = "plain";
  uint32_t stages = 0, replicas = 1;
  std::vector<uint32_t> without;
  uint64_t revision = 0;
  double step_seconds = 1;
};

// Nothing, with a word about it, where no vault of the run is on this host.
std::vector<Holding> ask_vault(const std::string& run_id) {
  recovery::VaultClient vault(recovery::vault_name(run_id), wire::run_hash(run_id), kPlanPatience);
  auto list = vault.list();
  if (list) return std::move(list).value();
  std::printf("vault=none text=\"%s\"\n", list.status().text().c_str());
  return {};
}

// The newest that anything here says; of members on other hosts nothing but their shards does.
uint64_t newest_revision(const recovery::Sight& sight) {
  uint64_t newest = sight.disk.empty() ? 0 : sight.disk.front();
  for (const GenerationRecord& sealed : sight.generations)
    newest = std::max(newest, sealed.revision);
  for (const Holding& holding : sight.holdings) {
    if (holding.kept) newest = std::max(newest, holding.revision);
    if (!holding.snapshots.empty()) newest = std::max(newest, holding.snapshots.front().revision);
  }
  return newest;
}

Result<recovery::Sight> see(const PlanOptions& o, const StatusReply& reply,
                            const std::vector<GenerationRecord>& generations) {
  recovery::Sight sight;
  sight.replicas = std::max(o.replicas, 1u);
  for (const MemberInfo& member : reply.view.members) sight.here.insert(member.slot);
  for (const uint32_t slot : o.without) sight.here.erase(Slot(slot));
  sight.holdings = ask_vault(reply.config.run_id);
  sight.generations = generations;
  for (const VaultInfo& vault : reply.vaults) sight.vaults.push_back(vault.holder.vault);
  if (!o.state.empty()) {
    const auto bytes = parse_bytes(o.state);
    if (!bytes)
      return Status(Code::kArgument, "--state: \"" + o.state + "\" is no size, such as 2GiB");
    sight.state_bytes = *bytes;
  }
  if (o.checkpoints.empty()) return sight;
  auto disk = recovery::readable_checkpoints(o.checkpoints, reply.config.run_id);
  if (!disk) return disk.status();
  sight.disk = std::move(disk).value();
  return sight;
}

int print_plan(const PlanOptions& o, const StatusReply& reply,
               const std::vector<GenerationRecord>& generations) {
  const auto sight = see(o, reply, generations);
  if (!sight)
    return complain("plan", sight.status().text(),
                    sight.status().code() == Code::kArgument ? kUsage : kFailure);
  recovery::RunFacts run;
  run.revision = o.revision != 0 ? o.revision : newest_revision(sight.value());
  run.step_seconds = o.step_seconds;
  run.schedule = o.order == "swapped" ? recovery::Schedule::swapped : recovery::Schedule::plain;
  run.approximate = o.approximate == "never"         ? Approximate::never
                    : o.approximate == "before-disk" ? Approximate::before_disk
                                                     : Approximate::last_resort;
  for (uint32_t stage = 0; stage < o.stages; ++stage)
    run.stages.push_back(gather(sight.value(), stage));
  const auto plan = make_plan(run);
  if (!plan) return complain("plan", plan.status().text());
  std::printf("%s\n", plan.value().line().c_str());
  for (const auto& stage : plan.value().stages) std::printf("%s\n", stage.line().c_str());
  return 0;
}

int run_plan(const PlanOptions& o) {
  if (uint64_t{o.stages} * std::max(o.replicas, 1u) > recovery::kMaxPlannedSlots)
    return complain("plan", "--stages × --replicas is over 65536", kUsage);
  std::string where = o.coordinator;
  if (where.empty())
    if (const char* set = std::getenv("RHZ_COORDINATOR")) where = set;
  if (where.empty()) where = "127.0.0.1:7400";
  auto client = StatusClient::open(where);
  if (!client)
    return complain("plan", client.status().text(),
                    client.status().code() == Code::kArgument ? kUsage : kFailure);
  const auto reply = client.value()->ask(kPlanPatience);
  if (!reply) return complain("plan", reply.status().text());
  if (!o.run_id.empty() && reply.value().config.run_id != o.run_id)
    return complain("plan", "this coordinator serves the run \"" + reply.value().config.run_id +
                                "\", not \"" + o.run_id + "\"; check --run-id");
  return print_plan(o, reply.value(), client.value()->generations());
}

}  // namespace

void add_plan(CLI::App& app, int& exit_status) {
  auto o = std::make_shared<PlanOptions>();
  CLI::App* sub = app.add_subcommand("plan",
                                     "Shows where a run's state would come from, for each stage, "
                                     "at which price, and why not from\n"
                                     "elsewhere.  Nothing is done.");
  sub->add_option("--coordinator", o->coordinator,
                  "HOST:PORT (default: $RHZ_COORDINATOR, else 127.0.0.1:7400)");
  sub->add_option("--run-id", o->run_id, "fails when the coordinator serves another run");
  sub->add_option("--stages", o->stages, "of the pipeline; 1 where all peers hold the same")
      ->required()
      ->check(CLI::Range(1u, recovery::kMaxPlannedSlots));
  sub->add_option("--replicas", o->replicas,
                  "members of a stage: slot = stage * replicas + replica")
      ->check(CLI::Range(1u, recovery::kMaxPlannedSlots));
  sub->add_option("--without", o->without, "slots that count as lost though they live: what if?");
  sub->add_option("--checkpoints", o->checkpoints, "the folder that the run writes them to");
  sub->add_option(
      "--state", o->state,
      "of a member that no vault here knows, such as 2GiB: what the prices follow from");
  sub->add_option(
      "--revision", o->revision,
      "that the living members hold (default: the newest that vault, shards and disk know)");
  sub->add_option("--step-seconds", o->step_seconds, "what a step costs that is made again")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--approximate", o->approximate,
                  "neighbour averages: never, last-resort (nothing exact is left), before-disk")
      ->check(CLI::IsMember({"never", "last-resort", "before-disk"}));
  sub->add_option("--order", o->order, "of micro-batches: plain, swapped")
      ->check(CLI::IsMember({"plain", "swapped"}));
  sub->footer(
      "It sees the view, the vault of this host, shards in the vaults of all hosts and the folder "
      "of checkpoints;\n"
      "snapshots on other hosts and shadows it does not see (rhz_plan_make takes what a trainer "
      "knows of them).\n"
      "example: rhizome plan --stages 4 --replicas 2 --without 2 3 --checkpoints /disk/lm");
  sub->callback([o, &exit_status] { exit_status = run_plan(*o); });
}

}  // namespace rhz::tools
