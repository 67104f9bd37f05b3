// What a complete checkpoint consists of: the file manifest.json beside its safetensors files,
// which comes into being last. JSON; persisted format (docs/recovery.md).  Plain values, any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collectives/reduce/dtype.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

struct FileRecord {
  std::string name;  // in the checkpoint's folder
  uint64_t bytes = 0;
  std::vector<Digest>
      blocks;  // of the whole file, header included: one per 256 KiB (runtime/digest)
  friend bool operator==(const FileRecord&, const FileRecord&) = default;
};

// Elements [first, first + count) of a tensor, counted as if it were flat; in the file they have
// the tensor's name.
struct SliceRecord {
  std::string file;
  uint64_t first = 0;
  uint64_t count = 0;
  friend bool operator==(const SliceRecord&, const SliceRecord&) = default;
};

struct TensorRecord {
  std::string name;
  reduce::Dtype dtype = reduce::Dtype::f32;
  std::vector<uint64_t> shape;      // of the whole tensor
  std::vector<SliceRecord> slices;  // by rising first; together they are the tensor
  friend bool operator==(const TensorRecord&, const TensorRecord&) = default;
};

struct CheckpointManifest {
  std::string run_id;
  uint64_t revision = 0;
  Digest root{};  // of the state, as the run knows it
  std::vector<FileRecord> files;
  std::vector<TensorRecord> tensors;  // by rising name
  friend bool operator==(const CheckpointManifest&, const CheckpointManifest&) = default;

  const TensorRecord* tensor(const std::string& name) const;  // of a settled one
  const FileRecord* file(const std::string& name) const;

  // Adds the files and slices of what one writer has; neither needs to be settled.  kDiverged: a
  // tensor has another dtype or shape there.
  [[nodiscard]] Status add(const CheckpointManifest& part);

  // Sorts tensors and slices; then kArgument, naming the tensor, unless the slices of each make it
  // up exactly and lie in files that are listed.
  [[nodiscard]] Status settle();

  std::string serialise() const;
  // Settled.  kCorrupt: no manifest of this format, changed since it was written, or tensors that
  // are not whole.
  [[nodiscard]] static Result<CheckpointManifest> parse(std::string_view text);
  // As it was serialised, tensors whole or not.
  [[nodiscard]] static Result<CheckpointManifest> parse_part(std::string_view text);
};

}  // namespace rhz::recovery
