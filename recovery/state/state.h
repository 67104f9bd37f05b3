// The registered tensors of one peer: what a joiner must have to be a member, and the revision it stands at.
//
// Owned by the communicator.  Tensors are added before the peer joins and frozen then; their bytes belong to the caller and are
// only borrowed.  Not synchronised: one thread at a time, and nobody changes the bytes while a digest is computed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recovery/state/header.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"
#include "runtime/device/state_memory.h"

namespace rhz::recovery {

inline constexpr size_t kMaxTensorNameBytes = 127;             // rhz_tensor.name
inline constexpr size_t kMaxTensors = 65536;                   // a manifest names each of them
inline constexpr uint64_t kMaxStateBytes = uint64_t{1} << 42;  // 4 TiB: 256 MiB of block digests

struct Tensor {
  std::string name;
  uint32_t dtype = 0;         // RHZ_DTYPE_*; only compared here
  uint64_t count_elems = 0;
  std::byte* data = nullptr;  // `bytes` bytes of the caller's
  uint64_t bytes = 0;         // count_elems times the size of the dtype
  bool own = false;           // of this peer's part of the model: kept, but not synced with the members
  StateMemory* device = nullptr;  // not null: `data` is a device's, and the CPU does not reach it (device_tensors.h)

  ConstBytes view() const { return {data, bytes}; }
};

// "100 × f32", for people.
std::string type_of(const Tensor& tensor);

class State {
 public:
  // kArgument: no name, a name too long or taken, no elements, no data, a size that is no multiple of the count, or over a
  // limit above.  kState: frozen.
  [[nodiscard]] Status add(Tensor tensor);
  // No tensors come from now on: their positions in tensors() are what ranges on the wire name.
  void freeze() { frozen_ = true; }

  // Those that are equal on all peers, which a joiner gets from the members; by rising name (bytewise).
  std::span<const Tensor> tensors() const { return shared_; }
  // With this peer's own: what a vault keeps.  By rising name.
  std::span<const Tensor> all_tensors() const { return all_; }
  uint64_t bytes() const { return bytes_; }                // of all tensors …
  uint64_t shared_bytes() const { return shared_bytes_; }  // … and of those in tensors()

  // Of the names, dtypes and counts in tensors(); equal on all peers of a run.  Persisted format: the number of tensors (u32), then per
  // tensor the length of the name (u32), the name, dtype (u32) and count (u64), little-endian.
  Digest shape() const;
  // Of the bytes of all tensors: XXH3-128 of the tensor digests (runtime/digest) in the order of the names.  Reads everything at once: on the
  // progress thread use ManifestBuilder, which can be interrupted.
  Digest root() const;

  // R1: revisions grow by one.  kArgument unless it is one more than the last; the first one may be any number, and so may that behind
  // begin_replacement().  kState inside an update.
  [[nodiscard]] Status commit(uint64_t revision);
  // What the tensors now hold; empty before the first commit, and while a sync overwrites them.
  std::optional<uint64_t> revision() const { return revision_; }

  // For recovery/sync: the bytes are about to be overwritten …
  void forget_revision() {
    revision_.reset();
    forgotten_ = true;
    header_->begin_update();
  }
  // … and hold this (logged and verified) revision now.  0: the members have not committed one yet.
  void adopt_revision(uint64_t revision) {
    revision_.reset();
    if (revision != 0) revision_ = revision;
    forgotten_ = false;
    replacing_ = false;
    header_->end_update();
    header_->commit(revision);
  }
  // The same by a sync, which does not bring a peer's own tensors: with such, all of the state is whole when the program commits.
  void adopt_synced(uint64_t revision) {
    if (all_.size() == shared_.size()) return adopt_revision(revision);
    begin_replacement();
    revision_.reset();
    if (revision != 0) revision_ = revision;
  }
  // The bytes are about to become those of some revision, which the next commit names.
  void begin_replacement() {
    replacing_ = true;
    forgotten_ = true;
    header_->begin_update();
  }

  // Phase and revision, as whoever survives this process sees them.
  StateHeader& header() { return *header_; }
  const StateHeader& header() const { return *header_; }
  const std::shared_ptr<StateHeader>& header_pointer() const { return header_; }
  // For HostMirror: the CPU works on this memory in place of that shared tensor, which is a device's.
  void stand_in(size_t shared, std::byte* host) {
    shared_[shared].data = host;
    shared_[shared].device = nullptr;
  }
  // They are kept here from now on.
  void keep_header(std::shared_ptr<StateHeader> header) { header_ = std::move(header); }

 private:
  std::vector<Tensor> all_, shared_;
  uint64_t bytes_ = 0, shared_bytes_ = 0;
  bool frozen_ = false;
  std::optional<uint64_t> revision_;
  bool forgotten_ = false;  // the header is open for it, and not for an update of the program's
  bool replacing_ = false;  // since begin_replacement()
  std::shared_ptr<StateHeader> header_ = std::make_shared<StateHeader>();
};

}  // namespace rhz::recovery
