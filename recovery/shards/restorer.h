// Brings a stage's state back from the shards of its sealed generation, into memory of the
// caller's: any k of each stripe, in parallel from several holders.  Losses on the way cost what
// that vault still owed; more than m of a stripe end it with kStateLost, whose text names the stage
// and the next source.
//
// A step function: no clock, socket, thread.
#pragma once

#include <deque>
#include <memory>

#include "recovery/parity/stripe_rebuild.h"
#include "recovery/shards/ask_window.h"
#include "recovery/shards/shard_actions.h"
#include "recovery/shards/stripe_reader.h"
#include "recovery/shards/vault_set.h"

namespace rhz::recovery {

class Restorer {
 public:
  // `record`: the newest logged one.  `output`: state_bytes of it.  Holders that `vaults` does not
  // know to live are lost.  kArgument: another size; kCorrupt: no record.
  [[nodiscard]] static Result<std::unique_ptr<Restorer>> make(GenerationRecord record,
                                                              VaultSet vaults, MutableBytes output,
                                                              LossContext context,
                                                              SendWindow window = {});

  // Asks for what the window has room for, and computes about `budget_bytes` more.
  [[nodiscard]] ShardActions step(uint64_t budget_bytes);
  [[nodiscard]] ShardActions handle(PeerId vault, const VaultReply& reply);
  [[nodiscard]] ShardActions vault_lost(PeerId vault);
  bool over() const { return over_; }
  // Whether step() has something to compute before anybody answers.
  bool busy() const;
  const GenerationRecord& record() const { return record_; }

 private:
  static constexpr size_t kStripesAtOnce = 2;
  Restorer(GenerationRecord record, GenerationShape shape, VaultSet vaults, MutableBytes output,
           LossContext context, SendWindow window);
  void start_stripe();
  void check(ShardActions& out);

  const GenerationRecord record_;
  const GenerationShape shape_;
  VaultSet vaults_;
  MutableBytes output_;
  const LossContext context_;
  AskWindow window_;
  uint32_t next_ = 0;  // stripe
  std::deque<std::unique_ptr<StripeReader>> readers_;
  bool over_ = false;
};

// The text of the typed loss.
Status state_lost(const LossContext& context, uint32_t stripe, uint32_t lost,
                  const ErasureCode& code);

}  // namespace rhz::recovery
