#include "recovery/shards/restorer.h"

#include <algorithm>

namespace rhz::recovery {

Status state_lost(const LossContext& context, uint32_t stripe, uint32_t lost,
                  const ErasureCode& code) {
  return {Code::kStateLost, context.stage + ": " + std::to_string(lost) + " of " +
                                std::to_string(code.shards()) + " shards of stripe " +
                                std::to_string(stripe) + " are lost, and parity makes up for " +
                                std::to_string(code.parity_shards()) +
                                "; next source: " + context.next_source};
}

Result<std::unique_ptr<Restorer>> Restorer::make(GenerationRecord record, VaultSet vaults,
                                                 MutableBytes output, LossContext context,
                                                 SendWindow window) {
  auto shape = shape_of(record);
  if (!shape) return shape.status();
  if (output.size() != record.state_bytes)
    return Status(Code::kArgument, "the generation has " + std::to_string(record.state_bytes) +
                                       " bytes, and there is memory for " +
                                       std::to_string(output.size()));
  return std::unique_ptr<Restorer>(new Restorer(std::move(record), std::move(shape).value(),
                                                std::move(vaults), output, std::move(context),
                                                window));
}

Restorer::Restorer(GenerationRecord record, GenerationShape shape, VaultSet vaults,
                   MutableBytes output, LossContext context, SendWindow window)
    : record_(std::move(record)),
      shape_(std::move(shape)),
      vaults_(std::move(vaults)),
      output_(output),
      context_(std::move(context)),
      window_(window) {}

void Restorer::start_stripe() {
  const uint32_t stripe = next_++;
  std::vector<StripeReader::Wanted> wanted;
  std::vector<uint32_t> lost;
  for (uint32_t j = 0; j < shape_.code.shards(); ++j) {
    if (!vaults_.lives(record_.holders[record_.held_by[shape_.at(stripe, j)]].vault))
      lost.push_back(j);
    const uint64_t length = shape_.layout.length(stripe, j);
    if (j < shape_.code.data_shards() && length > 0)
      wanted.push_back({j, output_.subspan(shape_.layout.offset(stripe, j), length)});
  }
  readers_.push_back(
      std::make_unique<StripeReader>(record_, shape_, stripe, std::move(wanted), lost));
}

ShardActions Restorer::step(uint64_t budget_bytes) {
  ShardActions out;
  if (over_) return out;
  while (readers_.size() < kStripesAtOnce && next_ < shape_.layout.stripes) start_stripe();
  const auto may = [&](PeerId vault, uint64_t bytes) { return window_.take(vault, bytes); };
  for (const auto& reader : readers_) {
    while (auto send = reader->next(may)) out.emplace_back(std::move(*send));
    reader->compute(budget_bytes);
  }
  check(out);
  return out;
}

bool Restorer::busy() const {
  return std::any_of(readers_.begin(), readers_.end(),
                     [](const auto& reader) { return reader->fetched() && !reader->done(); });
}

void Restorer::check(ShardActions& out) {
  for (const auto& reader : readers_) {
    Status status = reader->status();
    if (const auto lost = reader->hopeless())
      status = state_lost(context_, reader->stripe(), *lost, shape_.code);
    if (status) continue;
    over_ = true;
    out.emplace_back(ShardsFailed{std::move(status)});
    return;
  }
  std::erase_if(readers_, [](const auto& reader) { return reader->done(); });
  if (!readers_.empty() || next_ < shape_.layout.stripes) return;
  over_ = true;
  out.emplace_back(ShardsDone{record_});
}

ShardActions Restorer::handle(PeerId vault, const VaultReply& reply) {
  ShardActions out;
  if (over_) return out;
  window_.give_back(vault, window_bytes(reply.request));
  for (const auto& reader : readers_)
    if (reader->handle(vault, reply)) break;
  check(out);
  return out;
}

ShardActions Restorer::vault_lost(PeerId vault) {
  ShardActions out;
  if (over_) return out;
  vaults_.lose(vault);
  window_.lost(vault);
  for (const auto& reader : readers_) reader->vault_lost(vault);
  check(out);
  return out;
}

}  // namespace rhz::recovery
