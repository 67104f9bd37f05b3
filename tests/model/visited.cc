#include "tests/model/visited.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "runtime/base/prng.h"

namespace rhz::model {
namespace {

constexpr std::ptrdiff_t kLongestRun = 255;

uint64_t load_word(const uint8_t* from, std::size_t bytes = sizeof(uint64_t)) {
  uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return word;
}

// Length of the run of zeros at `from`.
std::ptrdiff_t zeros(const uint8_t* from, const uint8_t* end) {
  const uint8_t* at = from;
  while (end - at >= std::ptrdiff_t{sizeof(uint64_t)} && load_word(at) == 0) at += sizeof(uint64_t);
  while (at < end && *at == 0) at++;
  return at - from;
}

}  // namespace

// Eight zeros at a time: most of a state is zero, and packing is the larger part of a search.
std::size_t Visited::pack(const State& state, uint8_t* out) {
  const auto* from = reinterpret_cast<const uint8_t*>(&state);
  const uint8_t* const end = from + sizeof state;
  std::size_t n = 2;
  while (from < end) {
    if (*from != 0) {
      out[n++] = *from++;
      continue;
    }
    std::ptrdiff_t run = zeros(from, end);
    from += run;
    for (; run > 0; run -= kLongestRun) {
      out[n++] = 0;
      out[n++] = static_cast<uint8_t>(std::min(run, kLongestRun));
    }
  }
  out[0] = static_cast<uint8_t>(n);
  out[1] = static_cast<uint8_t>(n >> 8);
  return n;
}

std::size_t Visited::packed_bytes(const uint8_t* packed) {
  return static_cast<std::size_t>(packed[0] | packed[1] << 8);
}

State Visited::load(std::size_t number) const {
  State state{};
  const uint8_t* from = packed(number);
  const uint8_t* end = from + packed_bytes(from);
  auto* to = reinterpret_cast<uint8_t*>(&state);
  for (from += 2; from < end; from++) {
    if (*from != 0) {
      *to++ = *from;
    } else {
      to += *++from;
    }
  }
  return state;
}

std::size_t Visited::hash(const uint8_t* packed) {
  const std::size_t bytes = packed_bytes(packed);
  uint64_t hash = bytes;
  for (std::size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
    hash = mix64(hash ^ load_word(packed + i, std::min(sizeof(uint64_t), bytes - i)));
  }
  return hash;
}

const uint8_t* Visited::packed(std::size_t number) const {
  return blocks_[offset_[number] / kBlockBytes].get() + offset_[number] % kBlockBytes;
}

void Visited::add(const State& state, uint32_t parent, const Step& step) {
  uint8_t buffer[kMaxPackedBytes];
  const std::size_t bytes = pack(state, buffer);
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash(buffer) & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    if (std::memcmp(packed(slots_[slot] - 1), buffer, bytes) == 0) return;
  }
  store(buffer, bytes);
  parent_.push_back(parent);
  step_.push_back(step);
  slots_[slot] = static_cast<uint32_t>(offset_.size());
  if (offset_.size() * 2 > slots_.size()) grow();
}

void Visited::store(const uint8_t* packed, std::size_t bytes) {
  if (blocks_.empty() || used_ + bytes > kBlockBytes) {
    blocks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(kBlockBytes));
    used_ = 0;
  }
  std::memcpy(blocks_.back().get() + used_, packed, bytes);
  offset_.push_back((blocks_.size() - 1) * kBlockBytes + used_);
  used_ += bytes;
}

void Visited::grow() {
  std::vector<uint32_t> bigger(slots_.size() * 2, 0);
  const std::size_t mask = bigger.size() - 1;
  for (std::size_t i = 0; i < offset_.size(); i++) {
    std::size_t slot = hash(packed(i)) & mask;
    while (bigger[slot] != 0) slot = (slot + 1) & mask;
    bigger[slot] = static_cast<uint32_t>(i + 1);
  }
  slots_.swap(bigger);
}

}  // namespace rhz::model
