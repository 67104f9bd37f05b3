// One simulated trainer: the real Member, and the ShardKeeper of its stages.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "recovery/shards/restorer.h"
#include "recovery/shards/shard_keeper.h"
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
  struct Restoring {
    std::unique_ptr<recovery::Restorer> core;
    std::vector<std::byte> bytes;  // where it comes back to
  };
  // Of the restorers; the keeper numbers its own.
  static constexpr uint64_t kFirstRestorer = uint64_t{1} << 32;

  // Slots of a stage are those that have its number modulo the number of stages.
  StageSlots slots_of(uint32_t stage) const { return {stage, 1u << 16, config_.stages}; }
  bool owns(uint32_t stage) const { return slots_of(stage).has(member_.self().slot); }
  void tell_vaults();
  void begin_restore(uint32_t stage);
  void protect(uint32_t stage);
  void settle(Time now);
  void settle_keeper();
  void carry_out(uint64_t id, recovery::ShardActions actions);

  const ShardsConfig& config_;
  TrainerPort& port_;
  Member member_;
  recovery::VaultSet vaults_;
  recovery::ShardKeeper keeper_;
  std::map<uint64_t, Restoring> restorers_;
  uint64_t next_restorer_ = kFirstRestorer;
  Time now_{};
  Prng dice_;
};

}  // namespace rhz::sim
