// For the tests of checkpoints: a folder of their own, and a state whose bytes follow from its
// revision.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "recovery/disk/checkpoint.h"
#include "recovery/disk/checkpoints.h"
#include "recovery/disk/file_writer.h"
#include "recovery/state/even_part.h"
#include "runtime/base/prng.h"

namespace rhz::recovery {

using Bytes = std::vector<std::byte>;

// Gone with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_(testing::TempDir() + "rhizome-" + std::to_string(random_u64())) {
    std::filesystem::create_directory(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct NamedTensor {
  std::string name;
  reduce::Dtype dtype;
  std::vector<uint64_t> shape;
  Bytes bytes;

  uint64_t count() const { return bytes.size() / reduce::size_of(dtype); }
};

inline Bytes bytes_of_revision(size_t size, uint64_t revision) {
  Bytes bytes(size);
  Prng prng(revision);
  for (auto& b : bytes) b = static_cast<std::byte>(prng.next());
  return bytes;
}

inline std::vector<NamedTensor> state_of_revision(uint64_t revision) {
  using reduce::Dtype;
  return {{"big", Dtype::f32, {300, 500}, bytes_of_revision(600000, revision)},
          {"half", Dtype::bf16, {7, 11}, bytes_of_revision(154, revision + 1)},
          {"scalar", Dtype::u64, {}, bytes_of_revision(8, revision + 2)},
          {"small", Dtype::i8, {3}, bytes_of_revision(3, revision + 3)}};
}

// What part `part` of `parts` writes of each tensor.
inline std::vector<TensorSlice> slices_of(const std::vector<NamedTensor>& tensors,
                                          uint64_t part = 0, uint64_t parts = 1) {
  std::vector<TensorSlice> slices;
  for (const NamedTensor& tensor : tensors) {
    const auto [first, count] = even_part(tensor.count(), part, parts);
    const size_t size = reduce::size_of(tensor.dtype);
    if (count == 0) continue;
    slices.push_back({tensor.name, tensor.dtype, tensor.shape, first, count,
                      ConstBytes(tensor.bytes).subspan(first * size, count * size)});
  }
  return slices;
}

inline std::string part_name(uint64_t part) {
  return "part-" + std::to_string(part) + ".safetensors";
}

// Writes and publishes a checkpoint in `parts` files; the number of files that were there already.
inline Result<int> write_checkpoint(const std::string& root, const std::string& run_id,
                                    uint64_t revision, const std::vector<NamedTensor>& tensors,
                                    uint64_t parts = 1, uint64_t budget = UINT64_MAX) {
  const Result<std::string> folder = prepare_checkpoint(root, run_id, revision);
  if (!folder) return folder.status();
  CheckpointManifest manifest;
  manifest.run_id = run_id;
  manifest.revision = revision;
  int reused = 0;
  for (uint64_t part = 0; part < parts; ++part) {
    auto writer =
        FileWriter::make(folder.value(), part_name(part), slices_of(tensors, part, parts), {});
    if (!writer) return writer.status();
    while (!writer.value().step(budget)) continue;
    if (!writer.value().status()) return writer.value().status();
    if (Status status = writer.value().add_to(manifest); !status) return status;
    reused += writer.value().reused();
  }
  if (Status status = publish_checkpoint(root, manifest); !status) return status;
  return reused;
}

inline void expect_holds(Checkpoint& checkpoint, const std::vector<NamedTensor>& tensors) {
  for (const NamedTensor& tensor : tensors) {
    Bytes out(tensor.bytes.size());
    const Status status = checkpoint.fill(tensor.name, tensor.dtype, tensor.shape, 0, out);
    EXPECT_TRUE(status) << status.text();
    EXPECT_EQ(out, tensor.bytes) << tensor.name;
  }
}

}  // namespace rhz::recovery
