// Which bytes of a result members compare, and their digest (docs/protocol.md, O2).  A function of the run's
// configuration, the op's number and its layout, so that all ranks take the same ones, in every epoch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collectives/schedule/layout.h"
#include "runtime/agreement/view.h"
#include "runtime/base/types.h"

namespace rhz {

class Sample {
 public:
  // A page is digested at once.  Of the pages of a result, counted through its chunks, kSampled takes every
  // sixteenth; at which it begins follows from the op's number.  So of ops of one page it takes every sixteenth.
  static constexpr uint64_t kPageBytes = 4096;
  static constexpr uint64_t kOneIn = 16;

  Sample(Verify verify, OpSeq seq, const Layout& layout);

  // Whether it takes anything of this op.
  bool any() const { return any_; }
  // `value`: of the whole chunk.  Digests of chunks are added, in any order.
  uint64_t digest_of(uint32_t chunk, const std::byte* value) const;

 private:
  uint64_t first_page(uint32_t chunk) const;

  const Layout& layout_;
  uint64_t every_ = 1, shift_ = 0;
  uint64_t pages_of_chunk_ = 0;
  bool any_ = false;
};

}  // namespace rhz
