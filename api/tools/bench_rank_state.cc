// A trainer of `bench attach` and `bench snapshot`: one tensor in memory of rhz_alloc, at a
// revision that tells its bytes.
#include <rhizome/rhizome.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "api/tools/bench_rank.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint32_t kJoinTimeoutMs = 30'000;

template <class T>
T sized() {
  T value{};
  value.struct_size = sizeof value;
  return value;
}

class StateRank {
 public:
  explicit StateRank(const RankOptions& options)
      : options_(options), words_(whole("bytes=" + options.plan, "bytes") / sizeof(uint64_t)) {}
  ~StateRank() { rhz_comm_close(comm_); }

  // Attaches, or begins anew; joins, and is at a revision.
  bool begin();
  bool snapshots();

 private:
  bool good(rhz_status status, const char* what);
  bool attach();
  bool allocate();
  bool update();
  void fill(uint64_t revision) {
    for (uint64_t i = 0; i < words_; ++i) data_[i] = i * 0x9e3779b97f4a7c15u + revision;
  }
  uint64_t wrong(const uint64_t* data, uint64_t revision) const {
    uint64_t count = 0;
    for (uint64_t i = 0; i < words_; ++i) count += data[i] != i * 0x9e3779b97f4a7c15u + revision;
    return count;
  }
  rhz_tensor tensor() const {
    auto t = sized<rhz_tensor>();
    t.name = "state";
    t.data = data_;
    t.count_elems = words_;
    t.dtype = RHZ_DTYPE_U64;
    return t;
  }

  const RankOptions options_;
  const uint64_t words_;
  rhz_comm* comm_ = nullptr;
  uint64_t* data_ = nullptr;
  uint64_t revision_ = 0;
};

bool StateRank::good(rhz_status status, const char* what) {
  if (status == RHZ_OK) return true;
  std::string text = std::string(what) + ": " + rhz_last_error();
  std::replace(text.begin(), text.end(), '"', '\'');
  tell(format("@fail status=%d text=\"%s\"", status, text.c_str()));
  return false;
}

bool StateRank::attach() {
  rhz_tensor wanted = tensor();
  auto params = sized<rhz_attach_params>();
  params.tensors = &wanted;
  params.tensor_count = 1;
  params.flags = options_.after ? RHZ_ATTACH_DEFAULT : RHZ_ATTACH_UNCHECKED;
  auto info = sized<rhz_attach_info>();
  const uint64_t begin = monotonic_ns();
  const rhz_status status = rhz_state_attach(comm_, &params, &info);
  const uint64_t end = monotonic_ns();
  if (status == RHZ_ERR_STATE_LOST) return false;  // the first one
  if (!good(status, "cannot attach")) return false;
  data_ = static_cast<uint64_t*>(wanted.data);
  revision_ = info.revision;
  tell(format("@row attach_us=%.1f verified=%u wrong=%llu", static_cast<double>(end - begin) / 1e3,
              info.verified, static_cast<unsigned long long>(wrong(data_, revision_))));
  return true;
}

bool StateRank::allocate() {
  void* memory = nullptr;
  if (!good(rhz_alloc(comm_, words_ * sizeof(uint64_t), &memory), "no memory")) return false;
  data_ = static_cast<uint64_t*>(memory);
  return true;
}

bool StateRank::update() {
  if (!good(rhz_state_begin_update(comm_), "cannot begin an update")) return false;
  fill(revision_ + 1);
  if (!good(rhz_state_end_update(comm_), "cannot end an update")) return false;
  return good(rhz_state_commit(comm_, ++revision_), "cannot commit");
}

bool StateRank::begin() {
  auto params = sized<rhz_comm_params>();
  params.coordinator = options_.coordinator.c_str();
  params.slot_plus_one = options_.slot + 1;
  if (!good(rhz_comm_create(&params, &comm_), "cannot create a communicator")) return false;
  if (!attach() && !allocate()) return false;
  const rhz_tensor registered = tensor();
  if (!good(rhz_state_register(comm_, &registered), "cannot register")) return false;
  if (!good(rhz_comm_join(comm_, kJoinTimeoutMs), "cannot join") || !update()) return false;
  uint8_t digest[16];
  return options_.after == 0 || good(rhz_state_digest(comm_, digest), "no digest");
}

// memcpy, snapshot and restore of the same bytes, by turns.
bool StateRank::snapshots() {
  const uint64_t bytes = words_ * sizeof(uint64_t);
  BenchBuffer other(bytes, false);
  if (!other.data()) return good(RHZ_ERR_MEMORY, "no memory for the copy");
  std::memset(other.data(), 1, bytes);
  for (uint32_t rep = 0; rep < options_.before + 2; ++rep) {  // the first two make the buffers
    const uint64_t begin = monotonic_ns();
    std::memcpy(other.data(), data_, bytes);
    const uint64_t copied = monotonic_ns();
    if (!good(rhz_snapshot(comm_, nullptr), "no snapshot")) return false;
    const uint64_t returned = monotonic_ns();
    if (!good(rhz_snapshot_fence(comm_, 0), "no snapshot")) return false;
    const uint64_t fenced = monotonic_ns();
    fill(0);
    auto params = sized<rhz_restore_params>();
    params.flags = options_.after ? RHZ_RESTORE_DEFAULT : RHZ_RESTORE_UNCHECKED;
    const uint64_t restoring = monotonic_ns();
    if (!good(rhz_restore(comm_, &params, nullptr), "cannot restore")) return false;
    const uint64_t restored = monotonic_ns();
    auto us = [](uint64_t from, uint64_t to) { return static_cast<double>(to - from) / 1e3; };
    if (rep >= 2) {
      tell(format("@row memcpy_us=%.1f stall_us=%.1f copy_us=%.1f restore_us=%.1f wrong=%llu",
                  us(begin, copied), us(copied, returned), us(copied, fenced),
                  us(restoring, restored),
                  static_cast<unsigned long long>(wrong(data_, revision_))));
    }
    if (!update()) return false;
  }
  return true;
}

}  // namespace

int rank_state(const RankOptions& options) {
  StateRank rank(options);
  if (!rank.begin()) return kRankFailed;
  if (options.kind == "snapshot" && !rank.snapshots()) return kRankFailed;
  tell("@ready");
  for (;;) pause();  // until it is killed
}

}  // namespace rhz::tools
