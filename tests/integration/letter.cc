#include "tests/integration/letter.h"

namespace rhz::test {
namespace {
constexpr size_t kBehind = 64;
constexpr unsigned char kUntouched = 0xa5;

unsigned char letter_of(uint64_t text, uint64_t at) {
  const uint64_t mixed = (text + 1) * 0x9e3779b97f4a7c15ull + at * 0xbf58476d1ce4e5b9ull;
  return static_cast<unsigned char>(mixed >> 56);
}
}  // namespace

Letter::Letter(const Line& command)
    : sends_(command.verb == "send"), text_(command.number("content")) {
  params_.struct_size = sizeof params_;
  params_.bytes = command.number("bytes");
  params_.tag = command.number("tag");
  params_.peer_slot = static_cast<uint32_t>(command.number("peer"));
  params_.timeout_ms = static_cast<uint32_t>(command.number("timeout_ms"));
  buffer_.assign(params_.bytes + kBehind, kUntouched);
  for (uint64_t i = 0; sends_ && i < params_.bytes; ++i) buffer_[i] = letter_of(text_, i);
}

rhz_status Letter::submit(rhz_comm* comm, rhz_op** op) {
  params_.send = sends_ ? buffer_.data() : nullptr;
  params_.recv = sends_ ? nullptr : buffer_.data();
  return sends_ ? rhz_send(comm, &params_, op) : rhz_recv(comm, &params_, op);
}

uint64_t Letter::wrong(uint64_t bytes) const {
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < buffer_.size(); ++i)
    wrong += buffer_[i] != (i < bytes ? letter_of(text_, i) : kUntouched);
  return wrong;
}

}  // namespace rhz::test
