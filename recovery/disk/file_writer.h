// Writes one safetensors file of a checkpoint, a little at a time, so that it can go on behind
// training.
//
//   compare   a file of that name and length is there already: kept if it is what would be written
//   write     NAME.tmp in pieces of 1 MiB, past the page cache where that goes, digested on the way
//   finish    fsync, rename to NAME, fsync of the folder: a step each
//
// Whatever happens before the rename leaves NAME as it was.  The tensors' memory is the caller's
// and does not change until the writer is done.  One thread at a time; step() makes blocking calls,
// of which fsync may take long, so drive it from a thread that may wait.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collectives/reduce/dtype.h"
#include "recovery/disk/checkpoint_manifest.h"
#include "recovery/disk/direct_file.h"
#include "recovery/disk/file.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

// Elements [first, first + count) of a tensor, as this rank holds them.
struct TensorSlice {
  std::string name;
  reduce::Dtype dtype = reduce::Dtype::f32;
  std::vector<uint64_t> shape;  // of the whole tensor
  uint64_t first = 0;
  uint64_t count = 0;
  ConstBytes bytes;
};

class FileWriter {
 public:
  FileWriter(FileWriter&&) noexcept;
  FileWriter& operator=(FileWriter&&) noexcept;
  ~FileWriter();

  // `name` ends in ".safetensors".  A slice that is a whole tensor has its shape in the file; a
  // part is one-dimensional, and metadata says which part. kArgument: names or shapes that make no
  // sense, or bytes that do not follow from them.
  [[nodiscard]] static Result<FileWriter> make(std::string folder, std::string name,
                                               std::vector<TensorSlice> slices,
                                               std::map<std::string, std::string> metadata);

  // Reads or writes about `budget_bytes` more, at least a piece; true when it is over: see
  // status().
  bool step(uint64_t budget_bytes);
  // Ends it where it is, without a temporary file.
  void abandon();
  bool done() const { return phase_ == Phase::done; }
  const Status& status() const { return status_; }  // kIo: the temporary file is removed

  // After a good end.
  const FileRecord& record() const { return record_; }
  // Adds the file and its slices.  kDiverged: another file has a tensor of that name with another
  // dtype or shape.
  [[nodiscard]] Status add_to(CheckpointManifest& manifest) const;
  // The file was complete already.
  bool reused() const { return reused_; }

 private:
  struct Piece;
  enum class Phase { begin, compare, write, sync, rename, done };

  FileWriter();
  void begin();
  void compare_block();
  void write_piece();
  void finish();
  void rewrite();
  void fail(Status status);
  // Block next_ of the file, in memory of at least its size.
  ConstBytes make_block(MutableBytes memory) const;
  void copy(uint64_t at, MutableBytes out) const;
  std::string path() const { return folder_ + "/" + record_.name; }
  std::string temporary() const { return record_.name + ".tmp"; }

  std::string folder_;
  std::string header_;
  std::vector<TensorSlice> slices_;
  std::vector<uint64_t> offsets_;  // of each slice in the file
  FileRecord record_;
  Phase phase_ = Phase::begin;
  Status status_;
  File file_;
  DirectFile direct_;  // the same, past the page cache
  uint64_t next_ = 0;  // block
  bool reused_ = false;
  std::unique_ptr<Piece> piece_;
  std::vector<std::byte> other_;  // a block of the file that is there
};

}  // namespace rhz::recovery
