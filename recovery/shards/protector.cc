#include "recovery/shards/protector.h"

#include <algorithm>

namespace rhz::recovery {

Result<std::unique_ptr<Protector>> Protector::make(Job job, VaultSet vaults,
                                                   const Options& options) {
  if (job.revision == 0 || job.revision <= job.logged)
    return Status(Code::kArgument, "revision " + std::to_string(job.revision) +
                                       " is not above the sealed one, " +
                                       std::to_string(job.logged));
  const auto code = ErasureCode::make(options.data_shards, options.parity_shards);
  if (!code) return code.status();
  const auto layout = make_stripes(job.state.size(), code.value(), options.most_shard_bytes);
  if (!layout) return layout.status();
  if (uint64_t{layout.value().stripes} * code.value().shards() > kMaxGenerationShards)
    return Status(Code::kArgument, "more than " + std::to_string(kMaxGenerationShards) +
                                       " shards; make them longer");
  auto placement = place(vaults.hosts({}), code.value(), layout.value().stripes);
  if (!placement) return placement.status();
  std::unique_ptr<Protector> made(
      new Protector(std::move(job), std::move(vaults), options, code.value(), layout.value()));
  made->placement_ = std::move(placement).value();
  return made;
}

Protector::Protector(Job job, VaultSet vaults, const Options& options, ErasureCode code,
                     StripeLayout layout)
    : job_(std::move(job)),
      vaults_(std::move(vaults)),
      code_(std::move(code)),
      layout_(layout),
      sender_(header(VaultVerb::put), options.window) {
  digests_.resize(size_t{layout_.stripes} * code_.shards(), digest_of({}));
  for (uint32_t stripe = 0; stripe < layout_.stripes; ++stripe)
    for (uint32_t shard = 0; shard < code_.shards(); ++shard)
      if (layout_.length(stripe, shard) > 0) pending_[stripe].insert(shard);
}

VaultRequest Protector::header(VaultVerb verb) const {
  VaultRequest request;
  request.verb = verb;
  request.epoch = job_.epoch;
  request.stage = job_.stage;
  request.revision = job_.revision;
  request.tag = job_.logged;
  return request;
}

ShardActions Protector::step(uint64_t budget_bytes) {
  ShardActions out;
  if (phase_ != Phase::sending) return out;
  while (stripes_.size() < kStripesAtOnce && !pending_.empty()) start_stripe();
  const auto uncoded = std::find_if(stripes_.begin(), stripes_.end(),
                                    [](const Stripe& stripe) { return stripe.run.has_value(); });
  if (uncoded != stripes_.end()) code(*uncoded, budget_bytes);
  std::vector<VaultSend> sends;
  sender_.pump(budget_bytes, sends);
  for (VaultSend& send : sends) out.emplace_back(std::move(send));
  maybe_propose(out);
  return out;
}

bool Protector::computing() const {
  if (!busy()) return false;
  const bool room = stripes_.size() < kStripesAtOnce && !pending_.empty();
  return room || std::any_of(stripes_.begin(), stripes_.end(),
                             [](const Stripe& stripe) { return stripe.run.has_value(); });
}

void Protector::start_stripe() {
  const auto first = pending_.begin();
  Stripe& stripe = stripes_.emplace_back();
  stripe.number = first->first;
  stripe.unsent = std::move(first->second);
  pending_.erase(first);
  std::vector<ConstBytes> sources;
  std::vector<MutableBytes> outputs;
  for (uint32_t j = 0; j < code_.data_shards(); ++j)
    sources.push_back(
        job_.state.subspan(layout_.offset(stripe.number, j), layout_.length(stripe.number, j)));
  stripe.parity.resize(code_.parity_shards());
  for (auto& parity : stripe.parity) {
    parity.resize(layout_.shard_bytes);
    outputs.emplace_back(parity);
  }
  stripe.run.emplace(code_.encoding(), layout_.shard_bytes, std::move(sources), std::move(outputs),
                     Digested::sources_and_outputs);
}

void Protector::code(Stripe& stripe, uint64_t budget_bytes) {
  if (!stripe.run->step(budget_bytes)) return;
  const std::vector<BlockDigests> blocks = stripe.run->take_digests();
  for (uint32_t shard = 0; shard < code_.shards(); ++shard)
    digests_[size_t{stripe.number} * code_.shards() + shard] = digest_of(blocks[shard]);
  stripe.run.reset();
  for (const uint32_t shard : stripe.unsent) send(stripe, shard);
}

ConstBytes Protector::shard_bytes(const Stripe& stripe, uint32_t shard) const {
  if (shard >= code_.data_shards()) return stripe.parity[shard - code_.data_shards()];
  return job_.state.subspan(layout_.offset(stripe.number, shard),
                            layout_.length(stripe.number, shard));
}

void Protector::send(const Stripe& stripe, uint32_t shard) {
  sender_.add({vaults_.at(placement_.holders[stripe.number][shard]).vault, stripe.number, shard,
               shard_bytes(stripe, shard),
               digests_[size_t{stripe.number} * code_.shards() + shard]});
}

ShardActions Protector::handle(PeerId vault, const VaultReply& reply) {
  if (phase_ != Phase::sending) return {};
  const ShardSender::Event event = sender_.reply(vault, reply);
  ShardActions out;
  if (event.kind == ShardSender::Event::Kind::delivered) {
    const auto at = std::find_if(stripes_.begin(), stripes_.end(), [&](const Stripe& stripe) {
      return stripe.number == event.stripe;
    });
    if (at != stripes_.end()) {
      at->unsent.erase(event.shard);
      if (at->unsent.empty()) stripes_.erase(at);
    }
    maybe_propose(out);
  } else if (event.kind == ShardSender::Event::Kind::refused) {
    // Somebody of a newer view protects this stage, or has done so.
    if (event.status.code() == Code::kState) return cancel(event.status);
    useless_.push_back(vault);
    refusal_ = event.status;
    sender_.drop(vault);
    out.emplace_back(VaultSend{vault, header(VaultVerb::discard)});
    for (ShardAction& action : place_again()) out.emplace_back(std::move(action));
    return out;
  }
  return out;
}

ShardActions Protector::vault_lost(PeerId vault) {
  if (!vaults_.lives(vault)) return {};
  vaults_.lose(vault);
  if (phase_ != Phase::sending) return {};  // what it held is for whoever protects again
  sender_.drop(vault);
  return place_again();
}

// Shards of holders that are gone go to others; the rest stays where it is.
ShardActions Protector::place_again() {
  const std::vector<Host> hosts = vaults_.hosts(useless_);
  auto again = recovery::place_again(hosts, code_, placement_);
  if (!again) return cancel(no_place(again.status(), refusal_, useless_.size()));
  const Placement before = std::exchange(placement_, std::move(again).value());
  for (uint32_t number = 0; number < layout_.stripes; ++number) {
    const auto open = std::find_if(stripes_.begin(), stripes_.end(),
                                   [&](const Stripe& stripe) { return stripe.number == number; });
    for (uint32_t shard = 0; shard < code_.shards(); ++shard) {
      if (before.holders[number][shard] == placement_.holders[number][shard]) continue;
      if (layout_.length(number, shard) == 0) continue;
      if (open == stripes_.end()) {
        pending_[number].insert(shard);
        continue;
      }
      open->unsent.insert(shard);
      if (!open->run) send(*open, shard);
    }
  }
  return {};
}

void Protector::maybe_propose(ShardActions& out) {
  if (phase_ != Phase::sending || !pending_.empty() || !stripes_.empty()) return;
  phase_ = Phase::proposed;
  GenerationRecord record;
  record.stage = job_.stage;
  record.slots = job_.slots;
  record.revision = job_.revision;
  record.root = job_.root;
  record.state_bytes = layout_.state_bytes;
  record.data_shards = code_.data_shards();
  record.parity_shards = code_.parity_shards();
  record.shard_bytes = layout_.shard_bytes;
  write_placement(vaults_, placement_, record);
  record.shards = digests_;
  proposal_ = record;
  out.emplace_back(ProposeGeneration{std::move(record)});
}

ShardActions Protector::view(Epoch epoch) {
  job_.epoch = epoch;
  ShardActions out;
  if (phase_ == Phase::proposed) out.emplace_back(ProposeGeneration{*proposal_});
  return out;
}

ShardActions Protector::logged(const GenerationRecord& record) {
  if (over() || record.stage != job_.stage || record.revision < job_.revision) return {};
  if (!proposal_ || record != *proposal_)
    return cancel(Status(Code::kState, "revision " + std::to_string(record.revision) +
                                           " was sealed by somebody else"));
  phase_ = Phase::over;
  ShardActions out;
  // Also to those that hold nothing of it: they drop what is older.
  for (const PeerId vault : vaults_.living())
    out.emplace_back(VaultSend{vault, header(VaultVerb::seal)});
  out.emplace_back(ShardsDone{record});
  return out;
}

ShardActions Protector::refused(const Status& status) {
  if (phase_ != Phase::proposed) return {};
  return cancel(status);
}

ShardActions Protector::cancel(Status why) {
  ShardActions out;
  if (over()) return out;
  // A proposal that is under way may still be logged: what it names stays.
  if (phase_ == Phase::sending)
    for (const PeerId vault : sender_.told())
      out.emplace_back(VaultSend{vault, header(VaultVerb::discard)});
  phase_ = Phase::over;
  out.emplace_back(ShardsFailed{std::move(why)});
  return out;
}

}  // namespace rhz::recovery
