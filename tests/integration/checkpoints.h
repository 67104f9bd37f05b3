// Peers that write and load checkpoints by the C API: tensors whose bytes follow from a number.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/integration/folder.h"
#include "tests/integration/local_run.h"

namespace rhz::test {

// A rows × columns matrix of f32, or some rows of it.
struct Matrix {
  std::string name;
  uint64_t shape[2];
  uint64_t first_row = 0;
  std::vector<float> values;

  Matrix(std::string of, uint64_t rows, uint64_t columns) : Matrix(of, rows, columns, 0, rows) {}
  Matrix(std::string of, uint64_t rows, uint64_t columns, uint64_t first, uint64_t own_rows);
  void fill(uint64_t number);
  bool holds(uint64_t number) const;
  rhz_tensor_slice slice();
  rhz_tensor tensor();  // flat
};

struct CheckpointTest : testing::Test {
  Folder folder;
  const std::string root = folder.file("checkpoints");

  rhz_checkpoint_params params() const;
  // Its registered tensors.
  rhz_status begin(rhz_comm* comm, uint32_t part = 0, uint32_t parts = 1);
  rhz_status write(rhz_comm* comm, uint32_t part = 0, uint32_t parts = 1);
  // Begun, and waited for.
  rhz_status load(rhz_comm* comm, std::vector<rhz_tensor_slice> slices = {}, uint64_t revision = 0,
                  rhz_checkpoint_load_info* info = nullptr, const char* run_id = nullptr);
  // A member with this tensor, whose revision is committed.
  rhz_comm* member(LocalRun& run, Matrix& matrix, uint64_t revision, uint32_t slot_plus_one = 1);
  static void commit(rhz_comm* comm, Matrix& matrix, uint64_t revision);
  std::vector<std::string> folders() const;  // names, rising
  std::string of_revision(uint64_t revision) const;
};

}  // namespace rhz::test
