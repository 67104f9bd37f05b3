#include "tests/integration/checkpoints.h"

#include <algorithm>
#include <cstdio>

namespace rhz::test {
namespace {

float value(uint64_t number, uint64_t element) {
  return static_cast<float>((number * 7919 + element) % 100'003);
}

}  // namespace

Matrix::Matrix(std::string of, uint64_t rows, uint64_t columns, uint64_t first, uint64_t own_rows)
    : name(std::move(of)), shape{rows, columns}, first_row(first), values(own_rows * columns) {}

void Matrix::fill(uint64_t number) {
  for (uint64_t i = 0; i < values.size(); ++i) values[i] = value(number, first_row * shape[1] + i);
}

bool Matrix::holds(uint64_t number) const {
  for (uint64_t i = 0; i < values.size(); ++i)
    if (values[i] != value(number, first_row * shape[1] + i)) return false;
  return true;
}

rhz_tensor_slice Matrix::slice() {
  auto slice = sized<rhz_tensor_slice>();
  slice.name = name.c_str();
  slice.data = values.data();
  slice.first = first_row * shape[1];
  slice.count_elems = values.size();
  slice.shape = shape;
  slice.dims = 2;
  slice.dtype = RHZ_DTYPE_F32;
  return slice;
}

rhz_tensor Matrix::tensor() {
  auto tensor = sized<rhz_tensor>();
  tensor.name = name.c_str();
  tensor.data = values.data();
  tensor.count_elems = values.size();
  tensor.dtype = RHZ_DTYPE_F32;
  return tensor;
}

rhz_checkpoint_params CheckpointTest::params() const {
  auto params = sized<rhz_checkpoint_params>();
  params.folder = root.c_str();
  return params;
}

rhz_status CheckpointTest::begin(rhz_comm* comm, uint32_t part, uint32_t parts) {
  auto p = params();
  p.part = part;
  p.parts = parts;
  return rhz_checkpoint(comm, &p);
}

rhz_status CheckpointTest::write(rhz_comm* comm, uint32_t part, uint32_t parts) {
  const rhz_status begun = begin(comm, part, parts);
  return begun == RHZ_OK ? rhz_checkpoint_wait(comm, kPatienceMs, nullptr) : begun;
}

rhz_status CheckpointTest::load(rhz_comm* comm, std::vector<rhz_tensor_slice> slices,
                                uint64_t revision, rhz_checkpoint_load_info* info,
                                const char* run_id) {
  auto p = sized<rhz_checkpoint_load_params>();
  p.folder = root.c_str();
  p.run_id = run_id;
  p.revision = revision;
  p.slices = slices.empty() ? nullptr : slices.data();
  p.slice_count = static_cast<uint32_t>(slices.size());
  return rhz_checkpoint_load(comm, &p, info);
}

rhz_comm* CheckpointTest::member(LocalRun& run, Matrix& matrix, uint64_t revision,
                                 uint32_t slot_plus_one) {
  rhz_comm* const comm = run.create(slot_plus_one);
  const auto tensor = matrix.tensor();
  EXPECT_EQ(rhz_state_register(comm, &tensor), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
  commit(comm, matrix, revision);
  return comm;
}

void CheckpointTest::commit(rhz_comm* comm, Matrix& matrix, uint64_t revision) {
  matrix.fill(revision);
  EXPECT_EQ(rhz_state_commit(comm, revision), RHZ_OK) << rhz_last_error();
}

std::vector<std::string> CheckpointTest::folders() const {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(root, ignored))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::string CheckpointTest::of_revision(uint64_t revision) const {
  char name[64];
  std::snprintf(name, sizeof name, "/revision-%020llu", static_cast<unsigned long long>(revision));
  return root + name;
}

}  // namespace rhz::test
