// A run with vaults in one thread under one seed: the real Coordinator, Members, ShardStores,
// Protectors, Reprotectors and Restorers, and what strikes them.
//
// Each host has a vault and a trainer, which trains a stage.  Of the trainers of a stage the one in
// the lowest slot keeps it: protects revision after revision, and what was lost again.  A stage
// without trainers is kept by the lowest slot of all, which can protect it again only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/membership/coordinator.h"
#include "tests/sim/gate.h"
#include "tests/sim/shards_config.h"
#include "tests/sim/shards_oracle.h"
#include "tests/sim/shards_trainer.h"
#include "tests/sim/world.h"

namespace rhz::sim {

struct ShardsOutcome {
  std::string violation;
  uint64_t hash = 0, events = 0;
  uint64_t losses = 0;  // vaults, trainers and shards that were struck
  uint64_t generations = 0, replacements = 0, restored = 0, typed_losses = 0, decoded = 0;
  uint64_t restarts = 0;
  bool deserted = false;  // the run lost its last member: no liveness is asked for
};

class ShardsCluster final : public TrainerPort {
 public:
  ShardsCluster(const ShardsConfig& config, bool timeline = false);
  ShardsOutcome run();

  // TrainerPort
  void send_vault(PeerId trainer, uint64_t job, const recovery::VaultSend& send) override;
  void send_coordinator(PeerId trainer, ControlMessage message) override;
  void restored(const GenerationRecord& record, const std::vector<std::byte>& bytes) override;
  void restore_failed(const GenerationRecord& record, const Status& status) override;

 private:
  struct VaultProcess {
    Gate gate;
    Holder label;
    uint32_t host = 0;
    recovery::ShardStore store;
    explicit VaultProcess(uint64_t limit) : store(limit) {}
  };
  struct TrainerProcess {
    Gate gate;
    uint32_t host = 0;
    SessionId session = 0;
    std::unique_ptr<ShardsTrainer> core;
  };
  struct Office {  // an incarnation of the coordinator
    std::unique_ptr<Coordinator> core;
    std::map<SessionId, PeerId> sessions;
  };

  // shards_cluster.cc: processes and messages
  Duration latency();
  void start_vault(uint32_t host);
  void start_trainer(uint32_t host);
  void kill_vault(uint32_t host);
  void kill_trainer(uint32_t host);
  void on_trainer(PeerId id, const std::function<void(ShardsTrainer&)>& what);
  void all_trainers(Duration delay, std::function<void(ShardsTrainer&)> what);
  void tick_trainer(PeerId id);
  void deliver(PeerId trainer, PeerId vault, uint64_t job, const recovery::VaultRequest& request,
               const std::shared_ptr<std::vector<std::byte>>& bytes);
  void in_order(PeerId from, PeerId to, Action action);
  void start_office();
  void crash_office();
  void dial(PeerId trainer);
  void settle();
  bool carry_out(CoordinatorAction&& action);
  void admit_round();

  // shards_faults.cc
  using Blow = void (ShardsCluster::*)();
  void strike(double per_second, Blow blow);
  void crash_some_vault();
  void crash_some_trainer();
  void crash_some_host();
  void crash_some_rack();
  void corrupt_some_shard();
  void pause_somebody();
  void crash_coordinator();
  void cut_log();
  uint32_t members_beside(const std::vector<uint32_t>& hosts) const;
  void heal();
  bool healthy() const;

  ShardsConfig config_;
  World world_;
  ShardsOracle oracle_;
  std::map<PeerId, std::unique_ptr<VaultProcess>> vaults_;
  std::map<PeerId, std::unique_ptr<TrainerProcess>> trainers_;
  std::map<uint32_t, PeerId> vault_at_, trainer_at_;  // by host, that live
  std::map<std::pair<PeerId, PeerId>, Time> last_;    // arrival, of what keeps its order
  std::shared_ptr<Office> office_;
  std::vector<LogEntry> log_;
  SessionId next_session_ = 1;
  uint64_t next_id_ = 1;
  OpSeq admit_op_;
  Time tick_at_ = kNever;
  bool healed_ = false;
  ShardsOutcome outcome_;
};

}  // namespace rhz::sim
