// What the registered tensors of one revision look like, block by block: the table of contents that a joiner checks every range
// against.  Persisted format (docs/recovery.md), little-endian:
//
//   manifest = magic "RHZM" u32, format 1 u32, revision u64, root 16 bytes, tensors u32, 0 u32, tensor*
//   tensor   = name length u32, dtype u32, count_elems u64, bytes u64, name, one 16-byte digest per 256 KiB block
//
// Tensors come by rising name; nothing follows the last one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recovery/state/state.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

struct TensorManifest {
  std::string name;
  uint32_t dtype = 0;
  uint64_t count_elems = 0;
  uint64_t bytes = 0;
  std::vector<Digest> blocks;  // digest_blocks(bytes) of them
  friend bool operator==(const TensorManifest&, const TensorManifest&) = default;
};

struct Manifest {
  uint64_t revision = 0;
  Digest root{};
  std::vector<TensorManifest> tensors;
  friend bool operator==(const Manifest&, const Manifest&) = default;

  std::vector<std::byte> serialise() const;
  // Hostile input is refused (kArgument: no manifest of this format; kCorrupt: the root does not follow from the block digests)
  // and makes nothing allocate more than a small multiple of its own size.
  [[nodiscard]] static Result<Manifest> parse(ConstBytes bytes);

  // kDiverged unless names, dtypes, counts and sizes are those of `state`; the text names the first difference.
  [[nodiscard]] Status matches(const State& state) const;
};

// Length of the serialised manifest of these tensors, known without reading them.
uint64_t manifest_bytes(const State& state);

// Computes a manifest in steps, so that the progress thread can do other things between them.  The tensors must not change
// meanwhile, and `state` outlives it.
class ManifestBuilder {
 public:
  ManifestBuilder(const State& state, uint64_t revision);
  // Digests about this many bytes more; true when the manifest is complete.
  bool advance(uint64_t budget_bytes);
  bool done() const { return done_; }
  // Once, after done().
  Manifest take();

 private:
  const State& state_;
  Manifest manifest_;
  bool done_ = false;
};

}  // namespace rhz::recovery
