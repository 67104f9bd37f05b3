#include "recovery/shards/reprotector.h"

#include <algorithm>
#include <cstring>

namespace rhz::recovery {

Result<std::unique_ptr<Reprotector>> Reprotector::make(GenerationRecord record, VaultSet vaults,
                                                       Epoch epoch, LossContext context,
                                                       SendWindow window) {
  auto shape = shape_of(record);
  if (!shape) return shape.status();
  return std::unique_ptr<Reprotector>(new Reprotector(std::move(record), std::move(shape).value(),
                                                      std::move(vaults), epoch, std::move(context),
                                                      window));
}

Reprotector::Reprotector(GenerationRecord record, GenerationShape shape, VaultSet vaults,
                         Epoch epoch, LossContext context, SendWindow window)
    : record_(std::move(record)),
      shape_(std::move(shape)),
      vaults_(std::move(vaults)),
      epoch_(epoch),
      context_(std::move(context)),
      window_(window),
      sender_(header(), window),
      found_(record_.held_by.size(), Found::unknown) {
  for (const Holder& holder : record_.holders) vaults_.index_of_or_lost(holder);
}

VaultRequest Reprotector::header() const {
  VaultRequest request;
  request.verb = VaultVerb::seal;
  request.epoch = epoch_;
  request.stage = record_.stage;
  request.revision = request.tag = record_.revision;
  return request;
}

ShardActions Reprotector::step(uint64_t budget_bytes) {
  ShardActions out;
  if (phase_ == Phase::auditing) audit(out);
  if (phase_ == Phase::moving) move(budget_bytes, out);
  return out;
}

void Reprotector::audit(ShardActions& out) {
  for (; next_ < found_.size() && asked_ < kMaxAsked; ++next_) {
    const auto stripe = static_cast<uint32_t>(next_ / shape_.code.shards());
    const auto shard = static_cast<uint32_t>(next_ % shape_.code.shards());
    const uint64_t length = shape_.layout.length(stripe, shard);
    const PeerId vault = holder_of(next_);
    if (length == 0) {
      // Nobody holds padding, and yet it has a holder in the record, who may be gone.
      found_[next_] = vaults_.lives(vault) ? Found::intact : Found::lost;
    } else if (!vaults_.lives(vault)) {
      found_[next_] = Found::lost;
    } else {
      VaultRequest ask = header();
      ask.verb = VaultVerb::digests;
      ask.stripe = stripe;
      ask.shard = shard;
      ask.shard_bytes = length;
      out.emplace_back(VaultSend{vault, ask});
      found_[next_] = Found::asked;
      ++asked_;
    }
  }
  if (next_ == found_.size() && asked_ == 0) place(out);
}

void Reprotector::audited(PeerId vault, const VaultReply& reply) {
  const size_t i = shape_.at(reply.request.stripe, reply.request.shard);
  if (reply.request.shard >= shape_.code.shards() || i >= found_.size() ||
      found_[i] != Found::asked || holder_of(i) != vault)
    return;
  --asked_;
  BlockDigests digests(reply.bytes.size() / sizeof(Digest));
  if (!reply.bytes.empty()) std::memcpy(digests.data(), reply.bytes.data(), reply.bytes.size());
  const bool intact = reply.status.is_ok() && digest_of(digests) == record_.shards[i];
  found_[i] = intact ? Found::intact : Found::lost;
}

// Lost shards get holders; those of living ones stay where they are.
void Reprotector::place(ShardActions& out) {
  const bool first = placement_.holders.empty();
  std::vector<Host> hosts = vaults_.hosts(useless_);
  // Nobody's: so that a corrupt shard may stay with its holder, or go elsewhere.
  Placement wanted = placement_;
  if (first) {
    for (uint32_t s = 0; s < shape_.layout.stripes; ++s) {
      auto& stripe = wanted.holders.emplace_back();
      for (uint32_t j = 0; j < shape_.code.shards(); ++j) {
        const size_t i = shape_.at(s, j);
        stripe.push_back(found_[i] == Found::intact ? vaults_.index_of(holder_of(i))
                                                    : VaultSet::kNone);
        if (found_[i] != Found::intact) to_move_.insert(i);
      }
    }
    if (to_move_.empty()) {
      phase_ = Phase::over;
      out.emplace_back(ShardsDone{record_});
      return;
    }
  }
  auto again = recovery::place_again(hosts, shape_.code, wanted);
  if (!again) return fail(no_place(again.status(), refusal_, useless_.size()), out);
  for (uint32_t s = 0; s < shape_.layout.stripes; ++s)
    for (uint32_t j = 0; j < shape_.code.shards(); ++j)
      if (wanted.holders[s][j] != again.value().holders[s][j]) to_move_.insert(shape_.at(s, j));
  placement_ = std::move(again).value();
  phase_ = Phase::moving;
}

// What is being sent may still turn out to be in need of more.
std::optional<uint32_t> Reprotector::next_stripe() const {
  for (const size_t i : to_move_) {
    const auto stripe = static_cast<uint32_t>(i / shape_.code.shards());
    if (sender_.idle() || stripe != sending_stripe_) return stripe;
  }
  return std::nullopt;
}

bool Reprotector::computing() const {
  if (phase_ != Phase::moving) return false;
  if (!reader_) return sender_.idle() || next_stripe();
  return reader_->done() ? sender_.idle() : reader_->fetched();
}

// False: there is none to read now.
bool Reprotector::start_stripe() {
  const auto next = next_stripe();
  if (!next) return false;
  const uint32_t stripe = *next;
  std::vector<StripeReader::Wanted> wanted;
  std::vector<uint32_t> lost;
  rebuilt_.clear();
  for (uint32_t j = 0; j < shape_.code.shards(); ++j) {
    const size_t i = shape_.at(stripe, j);
    const bool gone = found_[i] == Found::lost || !vaults_.lives(holder_of(i));
    if (gone) lost.push_back(j);
    if (!to_move_.contains(i)) continue;
    if (const uint64_t length = shape_.layout.length(stripe, j); length > 0)
      rebuilt_.emplace_back(j, std::vector<std::byte>(length));
    else
      to_move_.erase(i);
  }
  for (auto& [shard, bytes] : rebuilt_) wanted.push_back({shard, bytes});
  if (!wanted.empty())
    reader_ = std::make_unique<StripeReader>(record_, shape_, stripe, std::move(wanted), lost);
  return true;
}

void Reprotector::move(uint64_t budget_bytes, ShardActions& out) {
  while (!reader_ && start_stripe()) continue;
  if (!reader_ && sender_.idle()) {
    phase_ = Phase::proposed;
    proposal_ = record_;
    ++proposal_->placement;
    write_placement(vaults_, placement_, *proposal_);
    out.emplace_back(ProposeGeneration{*proposal_});
    return;
  }
  if (reader_) {
    const auto may = [&](PeerId vault, uint64_t bytes) { return window_.take(vault, bytes); };
    while (auto send = reader_->next(may)) out.emplace_back(std::move(*send));
    if (!reader_->done()) reader_->compute(budget_bytes);
    if (const auto lost = reader_->hopeless())
      return fail(state_lost(context_, reader_->stripe(), *lost, shape_.code), out);
    if (!reader_->status()) return fail(reader_->status(), out);
    if (reader_->done() && sender_.idle()) send_stripe();
  }
  std::vector<VaultSend> sends;
  sender_.pump(budget_bytes, sends);
  for (VaultSend& send : sends) out.emplace_back(std::move(send));
}

void Reprotector::send_stripe() {
  const uint32_t stripe = reader_->stripe();
  // Sources that turned out to be corrupt are written anew, where they are, when this is done.
  for (const uint32_t shard : reader_->lost()) {
    const size_t i = shape_.at(stripe, shard);
    if (found_[i] != Found::lost) to_move_.insert(i);
    found_[i] = Found::lost;
  }
  sending_ = std::move(rebuilt_);
  sending_stripe_ = stripe;
  reader_.reset();
  for (const auto& [shard, bytes] : sending_) {
    const size_t i = shape_.at(stripe, shard);
    if (!to_move_.contains(i)) continue;
    sender_.add({vaults_.at(placement_.holders[stripe][shard]).vault, stripe, shard, bytes,
                 record_.shards[i]});
  }
}

ShardActions Reprotector::handle(PeerId vault, const VaultReply& reply) {
  ShardActions out;
  if (over() || phase_ == Phase::proposed) return out;
  if (reply.request.stage != record_.stage || reply.request.revision != record_.revision)
    return out;
  if (phase_ == Phase::auditing) {
    if (reply.request.verb == VaultVerb::digests) audited(vault, reply);
    return out;
  }
  const VaultVerb verb = reply.request.verb;
  if (verb == VaultVerb::digests || verb == VaultVerb::get)  // what is sent has its own window
    window_.give_back(vault, window_bytes(reply.request));
  if (reader_ && reader_->handle(vault, reply)) return out;
  const ShardSender::Event event = sender_.reply(vault, reply);
  if (event.kind == ShardSender::Event::Kind::delivered) {
    to_move_.erase(shape_.at(event.stripe, event.shard));
  } else if (event.kind == ShardSender::Event::Kind::refused) {
    if (event.status.code() == Code::kState) return cancel(event.status);
    useless_.push_back(vault);
    refusal_ = event.status;
    begin_stripe_again(vault, out);
  }
  return out;
}

ShardActions Reprotector::vault_lost(PeerId vault) {
  ShardActions out;
  if (over() || !vaults_.lives(vault)) return out;
  vaults_.lose(vault);
  window_.lost(vault);
  for (size_t i = 0; i < found_.size(); ++i) {
    if (holder_of(i) != vault) continue;
    if (found_[i] == Found::asked) --asked_;
    if (found_[i] != Found::unknown) found_[i] = Found::lost;
  }
  if (phase_ != Phase::moving) return out;
  begin_stripe_again(vault, out);
  return out;
}

// What it read or sent may be gone.  Both stripes that are in hand.
void Reprotector::begin_stripe_again(PeerId without, ShardActions& out) {
  sender_.drop(without);
  sender_.clear();
  reader_.reset();
  place(out);
}

ShardActions Reprotector::view(Epoch epoch) {
  epoch_ = epoch;
  ShardActions out;
  if (phase_ == Phase::proposed) out.emplace_back(ProposeGeneration{*proposal_});
  return out;
}

ShardActions Reprotector::logged(const GenerationRecord& record) {
  ShardActions out;
  if (over() || record.stage != record_.stage || record == record_) return out;
  if (record.revision < record_.revision) return out;
  if (!proposal_ || record != *proposal_)
    return cancel(Status(Code::kState, "another placement, or a newer revision, was sealed"));
  phase_ = Phase::over;
  for (const PeerId vault : vaults_.living()) out.emplace_back(VaultSend{vault, header()});
  out.emplace_back(ShardsDone{record});
  return out;
}

ShardActions Reprotector::refused(const Status& status) {
  if (phase_ != Phase::proposed) return {};
  return cancel(status);
}

ShardActions Reprotector::cancel(Status why) {
  ShardActions out;
  if (!over()) fail(std::move(why), out);
  return out;
}

void Reprotector::fail(Status status, ShardActions& out) {
  phase_ = Phase::over;
  reader_.reset();
  out.emplace_back(ShardsFailed{std::move(status)});
}

}  // namespace rhz::recovery
