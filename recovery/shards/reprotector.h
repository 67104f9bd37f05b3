// After holders of a sealed generation were lost: finds out which shards are still there, rebuilds
// the others from any k of their stripe, gives them new holders, and has the new placement logged.
// Done by the same party that would protect the stage, and never while it does so.
//
//   auditing   every holder that lives is asked for the digests of its shards
//   moving     lost shards, stripe by stripe: read k, compute, send.  While those of one stripe are
//              sent the next one is read, so that both ways of a link are used
//   proposed   the record again, with placement + 1
//
// A step function: no clock, socket, thread.
#pragma once

#include <memory>
#include <optional>
#include <set>

#include "recovery/shards/restorer.h"
#include "recovery/shards/shard_sender.h"

namespace rhz::recovery {

class Reprotector {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Reprotector>> make(GenerationRecord record,
                                                                 VaultSet vaults, Epoch epoch,
                                                                 LossContext context,
                                                                 SendWindow window = {});

  // About `budget_bytes` more.  ShardsDone with the old record where nothing was lost.
  [[nodiscard]] ShardActions step(uint64_t budget_bytes);
  bool busy() const { return phase_ == Phase::auditing || phase_ == Phase::moving; }
  // Whether step() has something to do before anybody answers.
  bool computing() const;
  [[nodiscard]] ShardActions handle(PeerId vault, const VaultReply& reply);
  [[nodiscard]] ShardActions vault_lost(PeerId vault);
  void vault_joined(Holder holder) { vaults_.join(std::move(holder)); }
  [[nodiscard]] ShardActions view(Epoch epoch);
  [[nodiscard]] ShardActions logged(const GenerationRecord& record);
  [[nodiscard]] ShardActions refused(const Status& status);
  [[nodiscard]] ShardActions cancel(Status why);
  bool over() const { return phase_ == Phase::over; }

 private:
  enum class Phase { auditing, moving, proposed, over };
  enum class Found : uint8_t { unknown, asked, intact, lost };
  static constexpr size_t kMaxAsked = 64;

  Reprotector(GenerationRecord record, GenerationShape shape, VaultSet vaults, Epoch epoch,
              LossContext context, SendWindow window);
  void audit(ShardActions& out);
  void audited(PeerId vault, const VaultReply& reply);
  void place(ShardActions& out);
  void move(uint64_t budget_bytes, ShardActions& out);
  bool start_stripe();
  std::optional<uint32_t> next_stripe() const;
  void send_stripe();
  void begin_stripe_again(PeerId without, ShardActions& out);
  void fail(Status status, ShardActions& out);
  VaultRequest header() const;
  PeerId holder_of(size_t shard) const { return record_.holders[record_.held_by[shard]].vault; }

  const GenerationRecord record_;
  const GenerationShape shape_;
  VaultSet vaults_;
  Status refusal_;                // of the newest of …
  std::vector<PeerId> useless_;
  Epoch epoch_;
  const LossContext context_;
  AskWindow window_;
  ShardSender sender_;
  Phase phase_ = Phase::auditing;
  std::vector<Found> found_;  // by stripe and shard
  size_t next_ = 0, asked_ = 0;
  Placement placement_;
  std::set<size_t> to_move_;  // lost, not yet held by whom placement_ names
  std::unique_ptr<StripeReader> reader_;
  using Shards = std::vector<std::pair<uint32_t, std::vector<std::byte>>>;  // by their index
  Shards rebuilt_;  // of the reader's stripe
  Shards sending_;  // of the stripe that is sent, while the sender is not idle
  uint32_t sending_stripe_ = 0;
  std::optional<GenerationRecord> proposal_;
};

}  // namespace rhz::recovery
