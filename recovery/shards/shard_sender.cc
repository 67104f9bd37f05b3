#include "recovery/shards/shard_sender.h"

#include <algorithm>
#include <cstring>

namespace rhz::recovery {

void ShardSender::add(const Parcel& parcel) {
  parcels_[{parcel.stripe, parcel.shard}] = Sending{parcel};
}

uint64_t ShardSender::pump(uint64_t budget_bytes, std::vector<VaultSend>& out) {
  uint64_t spent = 0;
  for (auto& [place, sending] : parcels_) {
    const Parcel& parcel = sending.parcel;
    const auto [at, first] = vaults_.try_emplace(parcel.vault);
    Vault& vault = at->second;
    if (first) {
      VaultRequest begin = begin_;
      begin.verb = VaultVerb::begin;
      out.push_back({parcel.vault, begin});
    }
    while (vault.begun && sending.sent < parcel.bytes.size()) {
      const uint64_t length =
          std::min<uint64_t>(kMaxRangeBytes, parcel.bytes.size() - sending.sent);
      const bool room =
          (vault.unanswered == 0 || vault.unanswered + length <= window_.vault_bytes) &&
          (unanswered_ == 0 || unanswered_ + length <= window_.all_bytes);
      if (!room) break;
      if (spent >= budget_bytes) return spent;
      VaultRequest put = begin_;
      put.verb = VaultVerb::put;
      put.tag = round_;
      put.stripe = parcel.stripe;
      put.shard = parcel.shard;
      put.shard_bytes = parcel.bytes.size();
      put.offset = sending.sent;
      put.length = static_cast<uint32_t>(length);
      put.bytes = parcel.bytes.subspan(sending.sent, length);
      out.push_back({parcel.vault, put});
      sending.sent += length;
      sending.unanswered += length;
      vault.unanswered += length;
      unanswered_ += length;
      spent += length;
    }
  }
  return spent;
}

ShardSender::Event ShardSender::reply(PeerId from, const VaultReply& reply) {
  const VaultRequest& r = reply.request;
  const auto vault = vaults_.find(from);
  // Of an older job, or of one that was given up.
  if (vault == vaults_.end() || r.stage != begin_.stage || r.revision != begin_.revision ||
      r.epoch != begin_.epoch)
    return {};
  Event event{Event::Kind::nothing, r.stripe, r.shard, {}};
  if (r.verb == VaultVerb::begin) {
    vault->second.begun = reply.status.is_ok();
  } else if (r.verb == VaultVerb::put) {
    const auto at = parcels_.find({r.stripe, r.shard});
    if (at == parcels_.end() || at->second.parcel.vault != from ||
        at->second.unanswered < r.length || r.tag != round_)
      return {};
    Sending& sending = at->second;
    sending.unanswered -= r.length;
    vault->second.unanswered -= r.length;
    unanswered_ -= r.length;
    const bool whole = sending.sent == sending.parcel.bytes.size() && sending.unanswered == 0;
    if (reply.status.is_ok() && whole) {
      if (reply.bytes.size() == sizeof(Digest) &&
          std::memcmp(reply.bytes.data(), sending.parcel.digest.data(), sizeof(Digest)) == 0) {
        parcels_.erase(at);
        event.kind = Event::Kind::delivered;
        return event;
      }
      if (++sending.tries <= kMaxTries) {
        sending.sent = 0;
        return {};
      }
      event.kind = Event::Kind::refused;
      event.status = Status(Code::kCorrupt, "a shard arrives with other bytes again and again");
      return event;
    }
  } else {
    return {};
  }
  if (reply.status) return {};
  event.kind = Event::Kind::refused;
  event.status = reply.status;
  return event;
}

void ShardSender::drop(PeerId vault) {
  std::erase_if(parcels_, [&](const auto& p) { return p.second.parcel.vault == vault; });
  if (const auto at = vaults_.find(vault); at != vaults_.end()) {
    unanswered_ -= at->second.unanswered;
    vaults_.erase(at);
  }
}

void ShardSender::clear() {
  parcels_.clear();
  unanswered_ = 0;
  for (auto& [id, vault] : vaults_) vault.unanswered = 0;
  ++round_;
}

std::vector<PeerId> ShardSender::told() const {
  std::vector<PeerId> ids;
  for (const auto& [id, vault] : vaults_) ids.push_back(id);
  return ids;
}

}  // namespace rhz::recovery
