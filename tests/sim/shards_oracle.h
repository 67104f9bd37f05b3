// R1, R3 and R4 (docs/protocol.md), over all vaults at once: what is logged is read from the memory
// of the vaults themselves, decoded, and compared with the state as it was.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>

#include "recovery/shards/generation_shape.h"
#include "recovery/shards/shard_store.h"
#include "runtime/agreement/record.h"

namespace rhz::sim {

std::vector<std::byte> shards_state(uint32_t stage, uint64_t revision, uint64_t bytes);

class ShardsOracle {
 public:
  struct Vault {
    Holder label;
    recovery::ShardStore* store;
  };

  bool violated() const { return !violation_.empty(); }
  const std::string& violation() const { return violation_; }
  void fail(const char* invariant, const std::string& text);

  void vault_up(const Holder& label, recovery::ShardStore& store);
  void vault_down(PeerId vault);
  void corrupted(PeerId vault, uint32_t stage, uint64_t revision, uint32_t stripe, uint32_t shard);
  // A request has been carried out there.
  void handled(PeerId vault, const recovery::VaultRequest& request);
  void appended(const LogEntry& entry);

  // A restore of this record is over.
  void restored(const GenerationRecord& record, const std::vector<std::byte>& bytes);
  void lost(const GenerationRecord& record, const Status& status);

  // More shards of some stripe than m were struck since the record was logged.
  bool beyond(const GenerationRecord& record) const;
  // How many shards are lost, at most of one stripe; nothing is logged: all.
  uint32_t lost_shards(uint32_t stage) const;
  const GenerationRecord* newest(uint32_t stage) const;

  uint64_t generations() const { return generations_; }
  uint64_t replacements() const { return replacements_; }
  uint64_t decoded() const { return decoded_; }

 private:
  using Mark = std::tuple<PeerId, uint32_t, uint64_t, uint32_t, uint32_t>;
  bool struck(const GenerationRecord& record, uint32_t stripe, uint32_t shard) const;
  void check(const GenerationRecord& record);
  void check_all(PeerId vault);
  void check_stage(const GenerationRecord& newest);
  void check_stripe(const GenerationRecord& record, const recovery::GenerationShape& shape,
                    uint32_t stripe, ConstBytes state);
  void check_growth(const GenerationRecord& record);
  void check_domains(const GenerationRecord& record);

  std::string violation_;
  std::map<PeerId, Vault> vaults_;  // that live
  std::set<Mark> marks_;            // corrupt
  // Was corrupt at some time since the newest record was logged: a reader may have come by then.
  std::set<Mark> since_;
  std::map<uint32_t, GenerationRecord> newest_;
  std::map<uint32_t, GenerationRecord> before_;  // until a newer one than newest_ has begun
  std::map<std::pair<uint32_t, uint64_t>, Digest> roots_;
  uint64_t generations_ = 0, replacements_ = 0, decoded_ = 0;
};

}  // namespace rhz::sim
