#include "recovery/sync/messages.h"

#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

constexpr size_t kKindAt = 0, kTensorAt = 4, kSyncAt = 8, kOffsetAt = 16, kLengthAt = 24;
constexpr size_t kLastAt = 28;

void encode(const Pull& pull, uint32_t last, std::byte* out) {
  store(out + kKindAt, static_cast<uint32_t>(pull.kind));
  store(out + kTensorAt, pull.tensor);
  store(out + kSyncAt, pull.sync.value);
  store(out + kOffsetAt, pull.offset);
  store(out + kLengthAt, pull.length);
  store(out + kLastAt, last);
}

std::optional<Pull> decode(const std::byte* from) {
  const auto kind = load<uint32_t>(from + kKindAt);
  if (kind < static_cast<uint32_t>(PullKind::kManifest) ||
      kind > static_cast<uint32_t>(PullKind::kUpdates))
    return {};
  const Pull pull{static_cast<PullKind>(kind), load<uint32_t>(from + kTensorAt),
                  OpSeq(load<uint64_t>(from + kSyncAt)), load<uint64_t>(from + kOffsetAt),
                  load<uint32_t>(from + kLengthAt)};
  if (pull.length == 0 || pull.length > kMaxPullBytes) return {};
  return pull;
}

}  // namespace

bool is_range(const Pull& pull, uint64_t tensor_bytes) {
  if (pull.offset > tensor_bytes || pull.length > tensor_bytes - pull.offset) return false;
  return pull.offset % kDigestBlockBytes == 0 &&
         (pull.length % kDigestBlockBytes == 0 || pull.offset + pull.length == tensor_bytes);
}

PullPayload encode_pull(const Pull& pull) {
  PullPayload payload;
  encode(pull, 0, payload.data());
  return payload;
}

std::optional<Pull> decode_pull(ConstBytes payload) {
  if (payload.size() != kPullBytes || load<uint32_t>(payload.data() + kLastAt) != 0) return {};
  return decode(payload.data());
}

void encode_data_header(const Pull& pull, DataStatus status, std::byte* out) {
  encode(pull, static_cast<uint32_t>(status), out);
}

std::optional<Data> decode_data(ConstBytes payload) {
  if (payload.size() < kDataHeaderBytes) return {};
  const auto pull = decode(payload.data());
  const auto status = load<uint32_t>(payload.data() + kLastAt);
  if (!pull || status > static_cast<uint32_t>(DataStatus::kDiverged)) return {};
  const ConstBytes bytes = payload.subspan(kDataHeaderBytes);
  if (bytes.size() != (status == 0 ? pull->length : 0)) return {};
  return Data{*pull, static_cast<DataStatus>(status), bytes};
}

}  // namespace rhz::recovery
