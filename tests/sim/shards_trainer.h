// One simulated trainer: the real Member, and whoever keeps the shards of its stages.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "recovery/shards/protector.h"
#include "recovery/shards/reprotector.h"
#include "runtime/base/prng.h"
#include "runtime/membership/member.h"
#include "tests/sim/shards_config.h"

namespace rhz::sim {

class TrainerPort {
 public:
  virtual ~TrainerPort() = default;
  virtual void send_vault(PeerId trainer, uint64_t job, const recovery::VaultSend& send) = 0;
  virtual void send_coordinator(PeerId trainer, ControlMessage message) = 0;
  virtual void restored(const GenerationRecord& record, const std::vector<std::byte>& bytes) = 0;
  virtual void restore_failed(const GenerationRecord& record, const Status& status) = 0;
};

class ShardsTrainer {
 public:
  ShardsTrainer(const ShardsConfig& config, TrainerPort& port, MemberInfo self,
                std::vector<Holder> vaults, uint64_t dice);

  void connected(Time now);
  void disconnected(Time now);
  void control(Time now, const ControlMessage& message);
  void vault_reply(uint64_t job, PeerId vault, const recovery::VaultReply& reply);
  void vault_lost(PeerId vault);
  void vault_joined(const Holder& holder);
  void peer_died(Time now, PeerId peer);
  void admit(Time now, OpSeq op);
  void tick(Time now);

  const Member& member() const { return member_; }

 private:
  struct Job {  // one of them
    std::unique_ptr<recovery::Protector> protector;
    std::unique_ptr<recovery::Reprotector> reprotector;
    std::unique_ptr<recovery::Restorer> restorer;
    std::vector<std::byte> bytes;  // state, or where it comes back to
    uint32_t stage = 0;
  };
  uint32_t stage_of(Slot slot) const { return slot.value % config_.stages; }
  bool keeps(uint32_t stage) const;
  bool owns(uint32_t stage) const { return stage_of(member_.self().slot) == stage; }
  Job* keeper_job(uint32_t stage);
  void begin_keeping(uint32_t stage);
  void begin_restore(uint32_t stage);
  void protect(uint32_t stage);
  void settle(Time now);
  void see_view();
  void see_generation(const GenerationRecord& record);
  void carry_out(uint64_t id, recovery::ShardActions actions);
  template <class What>
  recovery::ShardActions each(Job& job, What what);
  void end_jobs();

  const ShardsConfig& config_;
  TrainerPort& port_;
  Member member_;
  recovery::VaultSet vaults_;
  std::map<uint32_t, GenerationRecord> newest_;
  std::map<uint32_t, bool> hopeless_;  // more than m are lost, and this is the one who knows
  std::map<uint64_t, Job> jobs_;
  uint64_t next_job_ = 1;
  Time now_{};
  Prng dice_;
};

}  // namespace rhz::sim
