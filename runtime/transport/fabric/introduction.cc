#include "runtime/transport/fabric/introduction.h"

#include <array>

#include "runtime/transport/fabric/fabric.h"

namespace rhz::fabric {

std::string encode_introduction(uint64_t tag, std::span<const std::byte> address) {
  std::array<std::byte, Introduction::kHeadBytes> head;
  store(head.data(), Introduction::kMagic);
  store(head.data() + 4, static_cast<uint32_t>(address.size()));
  store(head.data() + 8, tag);
  std::string text(reinterpret_cast<const char*>(head.data()), head.size());
  return text.append(reinterpret_cast<const char*>(address.data()), address.size());
}

std::optional<Introduction> decode_introduction(const std::byte* from) {
  const Introduction found{load<uint32_t>(from + 4), load<uint64_t>(from + 8)};
  if (load<uint32_t>(from) != Introduction::kMagic) return std::nullopt;
  if (found.address_bytes == 0 || found.address_bytes > Fabric::kMaxAddressBytes)
    return std::nullopt;
  return found;
}

}  // namespace rhz::fabric
