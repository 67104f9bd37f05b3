#include "runtime/wire/frame.h"

#include <string>

#include "runtime/base/crc32c.h"
#include "runtime/base/prng.h"

namespace rhz::wire {
namespace {

// Offsets of the header's fields; docs/wire.md has the same table.
constexpr size_t kMagicAt = 0, kVersionAt = 4, kKindAt = 5, kFlagsAt = 6, kCrcAt = 8,
                 kLengthAt = 12, kRunAt = 16, kEpochAt = 24, kOpSeqAt = 32, kGroupAt = 40,
                 kChunkAt = 48, kSegmentAt = 52, kLaneSeqAt = 56, kFullUptoAt = 64,
                 kSignatureAt = 72, kTagAt = 80;
static_assert(kTagAt + sizeof(FrameHeader::tag) == kHeaderBytes);

// Over the whole header, with the CRC's own field taken as zero.
uint32_t header_crc(const std::byte* bytes) {
  constexpr std::byte kZero[4]{};
  uint32_t crc = crc32c({bytes, kCrcAt});
  crc = crc32c(kZero, crc);
  return crc32c({bytes + kLengthAt, kHeaderBytes - kLengthAt}, crc);
}

uint32_t max_length(Kind kind) {
  if (kind == Kind::kVoid) return 0;
  return kind == Kind::kControl ? kMaxControlBytes : kMaxDataBytes;
}

}  // namespace

void encode_header(const FrameHeader& header, std::byte* out) {
  store(out + kMagicAt, kMagic);
  store(out + kVersionAt, kProtocolVersion);
  store(out + kKindAt, static_cast<uint8_t>(header.kind));
  store(out + kFlagsAt, header.flags);
  store(out + kLengthAt, header.length);
  store(out + kRunAt, header.run);
  store(out + kEpochAt, header.epoch.value);
  store(out + kOpSeqAt, header.op_seq.value);
  store(out + kGroupAt, header.group.value);
  store(out + kChunkAt, header.chunk.value);
  store(out + kSegmentAt, header.segment.value);
  store(out + kLaneSeqAt, header.lane_seq);
  store(out + kFullUptoAt, header.full_upto);
  store(out + kSignatureAt, header.signature);
  store(out + kTagAt, header.tag);
  store(out + kCrcAt, header_crc(out));
}

Result<FrameHeader> decode_header(const std::byte* bytes) {
  if (load<uint32_t>(bytes + kMagicAt) != kMagic)
    return Status(Code::kArgument, "not a rhizome frame");
  // Before the CRC: another version may compute that differently.
  if (const auto version = load<uint8_t>(bytes + kVersionAt); version != kProtocolVersion) {
    return Status(Code::kVersion, "the peer speaks protocol version " + std::to_string(version) +
                                      ", this library speaks version " +
                                      std::to_string(kProtocolVersion));
  }
  if (load<uint32_t>(bytes + kCrcAt) != header_crc(bytes))
    return Status(Code::kArgument, "damaged frame header");
  const auto kind = load<uint8_t>(bytes + kKindAt);
  if (kind == 0 || kind > kLastKind) return Status(Code::kArgument, "unknown kind of frame");

  FrameHeader header;
  header.kind = static_cast<Kind>(kind);
  header.flags = load<uint16_t>(bytes + kFlagsAt);
  header.length = load<uint32_t>(bytes + kLengthAt);
  if (header.length > max_length(header.kind))
    return Status(Code::kArgument, "frame longer than its kind allows");
  header.run = load<uint64_t>(bytes + kRunAt);
  header.epoch = Epoch(load<uint64_t>(bytes + kEpochAt));
  header.op_seq = OpSeq(load<uint64_t>(bytes + kOpSeqAt));
  header.group = GroupId(load<uint64_t>(bytes + kGroupAt));
  header.chunk = ChunkIndex(load<uint32_t>(bytes + kChunkAt));
  header.segment = SegmentIndex(load<uint32_t>(bytes + kSegmentAt));
  header.lane_seq = load<uint64_t>(bytes + kLaneSeqAt);
  header.full_upto = load<uint64_t>(bytes + kFullUptoAt);
  header.signature = load<uint64_t>(bytes + kSignatureAt);
  header.tag = load<std::array<std::byte, 16>>(bytes + kTagAt);
  return header;
}

// FNV-1a (Fowler, Noll, Vo), then mixed: part of the wire format, so it may never change.
uint64_t run_hash(std::string_view run_id) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : run_id) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  return mix64(hash);
}

}  // namespace rhz::wire
