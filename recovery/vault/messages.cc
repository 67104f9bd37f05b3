#include "recovery/vault/messages.h"

#include "runtime/base/byte_stream.h"

namespace rhz::recovery {
namespace {

constexpr uint32_t kMagic = 0x565a4852;  // "RHZV" in memory order
constexpr uint16_t kVersion = 1;

bool known(uint16_t kind) {
  return (kind >= 1 && kind <= 9) || kind == 16 || (kind >= 32 && kind <= 35);
}

Status refused(const char* why) {
  return {Code::kArgument, std::string("message of the vault: ") + why};
}

}  // namespace

std::vector<std::byte> VaultMessage::encode() const {
  ByteWriter out(kVaultMessageBytes + kMaxVaultText);
  const std::string_view said = std::string_view(text).substr(0, kMaxVaultText);
  out.number(kMagic);
  out.number(kVersion);
  out.number(static_cast<uint16_t>(kind));
  out.number(run);
  out.number(slot.value);
  out.number(pieces);
  out.number(snapshot.data_bytes);
  out.number(snapshot.table_bytes);
  out.number(snapshot.revision);
  out.number(snapshot.part);
  out.number(snapshot.parts);
  out.number(pid);
  out.number(static_cast<uint32_t>(status));
  out.number(flags);
  out.number(static_cast<uint32_t>(said.size()));
  out.raw(bytes_of(said.data(), said.size()));
  return out.take();
}

Result<VaultMessage> VaultMessage::decode(ConstBytes bytes) {
  ByteReader in(bytes);
  if (in.left() < kVaultMessageBytes) return refused("it is too short");
  if (in.number<uint32_t>() != kMagic) return refused("the magic is wrong");
  if (const auto version = in.number<uint16_t>(); version != kVersion) {
    return Status(Code::kVersion, "the vault's messages are of version " +
                                      std::to_string(kVersion) + ", the other side's of version " +
                                      std::to_string(version));
  }
  const auto kind = in.number<uint16_t>();
  if (!known(kind)) return refused("the kind is unknown");
  VaultMessage message;
  message.kind = static_cast<VaultKind>(kind);
  message.run = in.number<uint64_t>();
  message.slot = Slot(in.number<uint32_t>());
  message.pieces = in.number<uint32_t>();
  message.snapshot.data_bytes = in.number<uint64_t>();
  message.snapshot.table_bytes = in.number<uint64_t>();
  message.snapshot.revision = in.number<uint64_t>();
  message.snapshot.part = in.number<uint32_t>();
  message.snapshot.parts = in.number<uint32_t>();
  message.pid = in.number<uint32_t>();
  message.status = static_cast<Code>(in.number<uint32_t>());
  message.flags = in.number<uint32_t>();
  const auto text_bytes = in.number<uint32_t>();
  if (message.pieces > kMaxPieces) return refused("it announces too many pieces");
  if (text_bytes > kMaxVaultText || text_bytes != in.left())
    return refused("the text has another length");
  const ConstBytes text = in.raw(text_bytes);
  message.text.assign(reinterpret_cast<const char*>(text.data()), text.size());
  return message;
}

}  // namespace rhz::recovery
