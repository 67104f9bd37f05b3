// The exact set of visited states, in order of discovery: packed by run lengths of zero into an
// arena, found by open addressing over their numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/model/state.h"
#include "tests/model/successors.h"

namespace rhz::model {

class Visited {
 public:
  Visited() : slots_(std::size_t{1} << 20, 0) {}

  std::size_t size() const { return offset_.size(); }
  // Adds a state that was reached from `parent` by `step`, unless it is known.
  void add(const State& state, uint32_t parent, const Step& step);
  State load(std::size_t number) const;
  uint32_t parent(std::size_t number) const { return parent_[number]; }
  const Step& step(std::size_t number) const { return step_[number]; }

 private:
  static constexpr std::size_t kBlockBytes = std::size_t{64} << 20;
  // A packed state begins with its length in two bytes; a zero precedes the length of its run.
  static constexpr std::size_t kMaxPackedBytes = 2 * sizeof(State) + 8;
  static_assert(kMaxPackedBytes < 65536, "the length of a packed state is two bytes");

  static std::size_t pack(const State& state, uint8_t* out);
  static std::size_t packed_bytes(const uint8_t* packed);
  static std::size_t hash(const uint8_t* packed);
  const uint8_t* packed(std::size_t number) const;
  void store(const uint8_t* packed, std::size_t bytes);
  void grow();

  std::vector<std::unique_ptr<uint8_t[]>> blocks_;
  std::size_t used_ = 0;          // bytes of the last block
  std::vector<uint64_t> offset_;  // per state: its place in the blocks
  std::vector<uint32_t> parent_;
  std::vector<Step> step_;
  std::vector<uint32_t> slots_;  // number + 1; 0: empty.  A power of two, at most half full
};

}  // namespace rhz::model
