// Who of a run's members keeps which stage's shards, and what that takes: protects the revisions
// that its program asks for, and protects again what vaults have lost.
//
// The keeper of a stage is the member in the lowest of the slots that hold the stage; while none of
// them is a member, it is the lowest slot of all, which can protect again only.  It follows from
// the view, so that there is one, and what it does carries the view's epoch.
//
// A step function: no clock, socket, thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "recovery/shards/protector.h"
#include "recovery/shards/reprotector.h"
#include "runtime/agreement/message.h"

namespace rhz::recovery {

// Nobody: an empty view.
PeerId keeper_of(const StageSlots& slots, const View& view);

// To a vault; replies go to the same job.
struct KeeperSend {
  uint64_t job = 0;
  VaultSend send;
};
// Counts only while `epoch` is the newest view.
struct KeeperPropose {
  Epoch epoch;
  GenerationRecord record;
};
// What became of a revision that was to be protected here.
struct KeeperProtected {
  uint32_t stage = 0;
  uint64_t revision = 0;
  Status status;
};
// What became of shards that were lost: protected again, or not.
struct KeeperRepaired {
  uint32_t stage = 0;
  uint64_t revision = 0;
  uint32_t placement = 0;
  Status status;
};
using KeeperAction = std::variant<KeeperSend, KeeperPropose, KeeperProtected, KeeperRepaired>;

class ShardKeeper {
 public:
  struct Work {
    uint32_t stage = 0;
    uint64_t revision = 0;  // from 1
    Digest root{};
    std::shared_ptr<const std::vector<std::byte>> state;
    StageSlots slots;
    Protector::Options options;
  };
  // `next_source`: for the text of a loss.
  ShardKeeper(PeerId self, std::string next_source);

  // What the run says.
  void view(const View& view);
  void generation(const GenerationRecord& record);
  void refused(const ProposalRefusedMessage& refusal);
  void vaults(const VaultsMessage& vaults);
  void reply(uint64_t job, PeerId vault, const VaultReply& reply);

  // What the program says.  Answered by KeeperProtected, at once where somebody else keeps the
  // stage. One at a time of a stage.
  void protect(Work work);
  // Asks the holders of all stages that are kept here what they still have: shards are dropped, or
  // go bad, without a vault being lost.
  void audit();
  // Ends all that is under way.
  void cancel(const Status& why);

  // About `budget_bytes` more of each job.  What the actions so far refer to may go: they are
  // taken, and carried out, before the next call.
  void step(uint64_t budget_bytes);
  // Whether step() has something to do before anybody answers.
  bool computing() const;
  std::vector<KeeperAction> take_actions() { return std::exchange(actions_, {}); }

  bool keeps(const StageSlots& slots) const { return keeper_of(slots, view_) == self_; }
  // The newest sealed one; null: none.
  const GenerationRecord* newest(uint32_t stage) const;
  const VaultSet& vaults() const { return vaults_; }

 private:
  struct Stage {
    std::optional<GenerationRecord> newest;
    std::optional<Work> wanted;  // to be protected, once nothing else is under way
    std::optional<Work> work;    // of the protector
    std::unique_ptr<Protector> protector;
    std::unique_ptr<Reprotector> reprotector;
    uint64_t job = 0;    // of either
    bool over = false;   // its memory may still be on its way out: it goes with the next step
    bool look = false;   // something has changed: are shards lost?
    bool audit = false;  // are they still what they were?
  };
  void changed();
  void begin(uint32_t number, Stage& stage);
  void begin_protector(uint32_t number, Stage& stage);
  void begin_reprotector(uint32_t number, Stage& stage);
  void repaired(uint32_t number, const Stage& stage, Status status);
  template <class What>
  void on_job(uint32_t number, Stage& stage, What what);
  void carry_out(uint32_t number, Stage& stage, ShardActions&& actions);
  void ended(uint32_t number, Stage& stage, const Status& status);

  const PeerId self_;
  const std::string next_source_;
  View view_;
  VaultSet vaults_;
  std::map<uint32_t, Stage> stages_;
  uint64_t next_job_ = 1;
  std::vector<KeeperAction> actions_;
};

}  // namespace rhz::recovery
