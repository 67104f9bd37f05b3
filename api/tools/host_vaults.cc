#include "api/tools/host_vaults.h"

#include <rhizome/rhizome.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

#include "api/src/coordinator_config.h"
#include "api/tools/text.h"
#include "recovery/shards/generation_shape.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kPatienceNs = 20'000'000'000;  // for the vaults to start
constexpr Duration kAskPatience = milliseconds(500);
// Of their shards.  The trainers of the benchmarks are small.
constexpr const char* kShardMemory = "256MiB";

}  // namespace

Result<std::unique_ptr<HostVaults>> HostVaults::start(const std::string& run_id, uint32_t world,
                                                      uint32_t hosts) {
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.run_id = run_id.c_str();
  params.world = world;
  CoordinatorOptions config;
  if (Status status = api::coordinator_options(params, config); !status) return status;
  auto coordinator = CoordinatorDriver::start(config);
  if (!coordinator) return coordinator.status();
  std::unique_ptr<HostVaults> all(new HostVaults);
  all->run_id_ = run_id;
  all->coordinator_ = std::move(coordinator).value();
  auto status = StatusClient::open(all->coordinator());
  if (!status) return status.status();
  all->status_ = std::move(status).value();
  all->vaults_.resize(hosts);
  for (uint32_t host = 0; host < hosts; ++host)
    if (Status started = all->replace(host); !started) return started;
  if (Status known = all->await(); !known) return known;
  return all;
}

HostVaults::~HostVaults() {
  for (uint32_t host = 0; host < vaults_.size(); ++host) kill(host);
}

Status HostVaults::replace(uint32_t host) {
  Command command;
  command.arguments = {self_path(),      "vault",      "--run-id",
                       run_id_,          "--host",     format("host-%u", host),
                       "--shard-memory", kShardMemory, "--coordinator",
                       coordinator()};
  auto child = spawn(command);
  if (!child) return child.status();
  vaults_[host] = std::move(child).value();
  return Status::ok();
}

Status HostVaults::await() {
  const uint64_t deadline = monotonic_ns() + kPatienceNs;
  while (monotonic_ns() < deadline) {
    drain();
    const auto reply = status_->ask(kAskPatience);
    if (reply && reply.value().vaults.size() == vaults_.size()) return Status::ok();
    for (const Child& vault : vaults_)
      if (!vault.out.is_open()) return {Code::kState, "a vault has ended at its start"};
  }
  return {Code::kTimeout, "the coordinator does not hear of all vaults"};
}

void HostVaults::kill(uint32_t host) {
  Child& vault = vaults_[host];
  if (vault.pid < 0) return;
  ::kill(vault.pid, SIGKILL);
  waitpid(vault.pid, nullptr, 0);
  vault = {};
}

bool HostVaults::stand(uint32_t stages) {
  const auto reply = status_->ask(kAskPatience);
  if (!reply) return false;
  std::vector<PeerId> living;
  for (const VaultInfo& vault : reply.value().vaults) living.push_back(vault.holder.vault);
  const auto all = newest_of(status_->generations());
  return all.size() >= stages && std::all_of(all.begin(), all.end(), [&](const auto& record) {
           const recovery::Standing now = recovery::standing(record, living);
           return now.recoverable && now.hosts > 0;
         });
}

void HostVaults::drain() {
  for (Child& vault : vaults_)
    if (vault.out.is_open()) vault.out.drain([](std::string_view) {});
}

}  // namespace rhz::tools
