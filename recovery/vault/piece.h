// Pieces: memory without a process, which is a memfd of a sealed size.
#pragma once

#include <cstdint>

#include "runtime/base/bytes.h"
#include "runtime/base/fd.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

// Of zeros, and all of it there.  kMemory: the system has not so much.
[[nodiscard]] Result<Fd> make_piece(uint64_t bytes);
[[nodiscard]] Result<Fd> duplicate(int fd);
// 0: no memfd of a sealed size.
uint64_t piece_bytes(const Fd& piece);

// Whether it is a connection to who holds memory of a device (device_holder.h).
bool is_held_elsewhere(const Fd& piece);
bool is_no_longer_held(const Fd& piece);

// All of the bytes.  kIo; reading: kCorrupt where the piece ends before.
[[nodiscard]] Status write_piece(const Fd& piece, uint64_t offset, ConstBytes bytes);
[[nodiscard]] Status read_piece(const Fd& piece, uint64_t offset, MutableBytes into);

}  // namespace rhz::recovery
