#include "recovery/shards/vault_messages.h"

namespace rhz::recovery {
namespace {

constexpr size_t kMaxTextBytes = 4096;

bool is_range(const VaultRequest& r) {
  const uint64_t end = r.offset + r.length;
  return r.length > 0 && r.length <= kMaxRangeBytes && r.offset % kDigestBlockBytes == 0 &&
         end > r.offset && end <= r.shard_bytes &&
         (end % kDigestBlockBytes == 0 || end == r.shard_bytes);
}

std::optional<VaultRequest> decode_header(ConstBytes message) {
  if (message.size() < kVaultHeaderBytes) return {};
  const std::byte* at = message.data();
  VaultRequest r;
  const auto verb = load<uint32_t>(at);
  if (verb < 1 || verb > static_cast<uint32_t>(VaultVerb::get)) return {};
  r.verb = static_cast<VaultVerb>(verb);
  r.epoch = Epoch(load<uint64_t>(at + 8));
  r.revision = load<uint64_t>(at + 16);
  r.tag = load<uint64_t>(at + 24);
  r.shard_bytes = load<uint64_t>(at + 32);
  r.offset = load<uint64_t>(at + 40);
  r.stage = load<uint32_t>(at + 48);
  r.stripe = load<uint32_t>(at + 52);
  r.shard = load<uint32_t>(at + 56);
  r.length = load<uint32_t>(at + 60);
  if (r.shard_bytes > kMaxShardBytes) return {};
  const bool ranged = r.verb == VaultVerb::put || r.verb == VaultVerb::get;
  if (r.revision == 0 || (ranged ? !is_range(r) : r.length != 0)) return {};
  return r;
}

}  // namespace

VaultHeader encode_header(const VaultRequest& r, Code status) {
  VaultHeader header{};
  std::byte* at = header.data();
  store(at, static_cast<uint32_t>(r.verb));
  store(at + 4, static_cast<uint32_t>(status));
  store(at + 8, r.epoch.value);
  store(at + 16, r.revision);
  store(at + 24, r.tag);
  store(at + 32, r.shard_bytes);
  store(at + 40, r.offset);
  store(at + 48, r.stage);
  store(at + 52, r.stripe);
  store(at + 56, r.shard);
  store(at + 60, r.length);
  return header;
}

std::optional<VaultRequest> decode_request(ConstBytes message) {
  std::optional<VaultRequest> request = decode_header(message);
  if (!request || load<uint32_t>(message.data() + 4) != 0) return {};
  request->bytes = message.subspan(kVaultHeaderBytes);
  const uint64_t due = request->verb == VaultVerb::put ? request->length : 0;
  if (request->bytes.size() != due) return {};
  return request;
}

std::optional<VaultReply> decode_reply(ConstBytes message) {
  const std::optional<VaultRequest> header = decode_header(message);
  if (!header) return {};
  VaultReply reply{*header, Status::ok(), message.subspan(kVaultHeaderBytes)};
  if (const auto code = load<uint32_t>(message.data() + 4); code != 0) {
    if (reply.bytes.size() > kMaxTextBytes) return {};
    reply.status =
        Status(static_cast<Code>(code),
               std::string(reinterpret_cast<const char*>(reply.bytes.data()), reply.bytes.size()));
    reply.bytes = {};
    return reply;
  }
  const uint64_t all = digest_blocks(header->shard_bytes) * sizeof(Digest);
  const size_t size = reply.bytes.size();
  switch (header->verb) {
    case VaultVerb::put:
      return size == 0 || size == sizeof(Digest) ? std::optional(reply) : std::nullopt;
    case VaultVerb::digests: return size == all ? std::optional(reply) : std::nullopt;
    case VaultVerb::get: return size == header->length ? std::optional(reply) : std::nullopt;
    default: return size == 0 ? std::optional(reply) : std::nullopt;
  }
}

}  // namespace rhz::recovery
