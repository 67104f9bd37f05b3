#include "recovery/vault/holder_messages.h"

#include <cstring>

#include "runtime/base/byte_stream.h"

namespace rhz::recovery {
namespace {

constexpr uint32_t kMagic = 0x485a4852;  // "RHZH" in memory order
constexpr uint16_t kVersion = 1;

bool known(uint16_t kind) { return (kind >= 1 && kind <= 3) || kind == 32; }

Status refused(const char* why) {
  return {Code::kArgument, std::string("message about memory of a device: ") + why};
}

}  // namespace

std::vector<std::byte> HolderMessage::encode() const {
  ByteWriter out(kHolderMessageBytes + kMaxHolderText);
  const std::string_view said = std::string_view(text).substr(0, kMaxHolderText);
  out.number(kMagic);
  out.number(kVersion);
  out.number(static_cast<uint16_t>(kind));
  out.number(number);
  out.number(bytes);
  out.raw(allocation.device);
  out.raw(allocation.name);
  out.number(static_cast<uint32_t>(status));
  out.number(static_cast<uint32_t>(said.size()));
  out.raw(bytes_of(said.data(), said.size()));
  return out.take();
}

Result<HolderMessage> HolderMessage::decode(ConstBytes bytes) {
  ByteReader in(bytes);
  if (in.left() < kHolderMessageBytes) return refused("it is too short");
  if (in.number<uint32_t>() != kMagic) return refused("the magic is wrong");
  if (const auto version = in.number<uint16_t>(); version != kVersion)
    return Status(Code::kVersion, "messages about memory of devices are of version " +
                                      std::to_string(kVersion) + ", the other side's of version " +
                                      std::to_string(version));
  const auto kind = in.number<uint16_t>();
  if (!known(kind)) return refused("the kind is unknown");
  HolderMessage message;
  message.kind = static_cast<HolderKind>(kind);
  message.number = in.number<uint64_t>();
  message.bytes = in.number<uint64_t>();
  auto& [name, device, offset] = message.allocation;
  std::memcpy(device.data(), in.raw(device.size()).data(), device.size());
  std::memcpy(name.data(), in.raw(name.size()).data(), name.size());
  message.status = static_cast<Code>(in.number<uint32_t>());
  const auto text_bytes = in.number<uint32_t>();
  if (text_bytes > kMaxHolderText || text_bytes != in.left())
    return refused("the text has another length");
  const ConstBytes text = in.raw(text_bytes);
  message.text.assign(reinterpret_cast<const char*>(text.data()), text.size());
  return message;
}

}  // namespace rhz::recovery
