// Puts one revision of one stage's state into the vaults of other hosts, and has it sealed: the
// owner's side.
//
//   begin()      places the shards by failure domain; stripes are then coded and sent, a few at a
//                time, within the budget of step()
//   vault_lost() only what that vault held, or was to hold, is sent elsewhere
//   proposed     once every shard is held and verified
//   logged()     the log has it: holders are told (R3)
//
// The sealed generation stays as it is, and also behind that, until the next one begins to be
// written; the one before it goes as this one begins.  Whoever gives up says so to the vaults; if the
// owner dies, the next one does (ShardStore::begin).  One owner of a stage at a time: which one,
// follows from the view, and what it does carries the view's epoch.
//
// A step function: no clock, socket, thread.  The state's bytes do not change until it is over().
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "recovery/parity/coding_run.h"
#include "recovery/parity/stripe_layout.h"
#include "recovery/shards/shard_actions.h"
#include "recovery/shards/shard_sender.h"
#include "recovery/shards/vault_set.h"

namespace rhz::recovery {

class Protector {
 public:
  struct Options {
    uint32_t data_shards = 4, parity_shards = 2;
    uint64_t most_shard_bytes = kDefaultShardBytes;
    SendWindow window;
  };
  struct Job {
    uint32_t stage = 0;
    uint64_t revision = 0;  // from 1
    Digest root{};
    ConstBytes state;
    Epoch epoch;          // of the newest view
    uint64_t logged = 0;  // newest sealed revision of the stage; 0: none
    StageSlots slots = {};  // whose trainers hold the stage
  };

  // Starts at once.  kArgument: an empty state, too few domains (placement.h), a revision that is
  // not above the logged one.
  [[nodiscard]] static Result<std::unique_ptr<Protector>> make(Job job, VaultSet vaults,
                                                               const Options& options);

  // Codes and sends about `budget_bytes` more.
  [[nodiscard]] ShardActions step(uint64_t budget_bytes);
  // Whether step() has something to do now.
  bool busy() const { return phase_ == Phase::sending; }
  // Whether that is so before anybody answers.
  bool computing() const;

  [[nodiscard]] ShardActions handle(PeerId vault, const VaultReply& reply);
  [[nodiscard]] ShardActions vault_lost(PeerId vault);
  void vault_joined(Holder holder) { vaults_.join(std::move(holder)); }
  // A newer view, in which this peer is still the one: a proposal is repeated for it.
  [[nodiscard]] ShardActions view(Epoch epoch);
  [[nodiscard]] ShardActions logged(const GenerationRecord& record);
  [[nodiscard]] ShardActions refused(const Status& status);
  // Ends without a result.
  [[nodiscard]] ShardActions cancel(Status why);

  bool over() const { return phase_ == Phase::over; }
  uint64_t revision() const { return job_.revision; }

 private:
  enum class Phase { sending, proposed, over };
  static constexpr size_t kStripesAtOnce = 2;
  struct Stripe {
    uint32_t number = 0;
    std::set<uint32_t> unsent;  // shards that are to be held and are not
    std::vector<std::vector<std::byte>> parity;
    std::optional<CodingRun> run;  // until it is coded
  };

  Protector(Job job, VaultSet vaults, const Options& options, ErasureCode code,
            StripeLayout layout);
  void start_stripe();
  void code(Stripe& stripe, uint64_t budget_bytes);
  void send(const Stripe& stripe, uint32_t shard);
  ConstBytes shard_bytes(const Stripe& stripe, uint32_t shard) const;
  ShardActions place_again();
  void maybe_propose(ShardActions& out);
  VaultRequest header(VaultVerb verb) const;

  Job job_;
  VaultSet vaults_;
  Status refusal_;                // of the newest of …
  std::vector<PeerId> useless_;  // full, or of no use otherwise
  ErasureCode code_;
  StripeLayout layout_;
  Phase phase_ = Phase::sending;
  Placement placement_;
  std::vector<Digest> digests_;                     // by stripe and shard
  std::map<uint32_t, std::set<uint32_t>> pending_;  // shards to be sent, by stripe, not begun
  std::deque<Stripe> stripes_;                      // begun
  ShardSender sender_;
  std::optional<GenerationRecord> proposal_;
};

}  // namespace rhz::recovery
