// One rank of a benchmark: a peer that talks to its parent in lines on standard output.
//
//   @joined                                   is a member
//   @t us=…                                   (allreduce) one timed op
//   @row bytes=… wrong=… rss_extra=… cpu_ns=… (allreduce) a size is done
//   @begin op=… ns=…                          (recovery) about to submit the op
//   @op op=… begin_ns=… end_ns=… rebuilds=… held=… redone=… checked=… wrong=… digest=…
//   @row attach_us=… | stall_us=… …           (attach, snapshot) a repetition
//   @ready                                    (attach, snapshot) may be killed
//   @fail status=… text="…"                   the end, with exit status 3
#pragma once

#include <rhizome/rhizome.h>

#include <string>
#include <vector>

#include "api/tools/bench.h"
#include "api/tools/bench_values.h"

namespace rhz::tools {

inline constexpr int kRankFailed = 3;

// Memory of its own pages, so that what the runtime takes can be told apart.
class BenchBuffer {
 public:
  BenchBuffer(uint64_t bytes, bool huge_pages);
  ~BenchBuffer();
  BenchBuffer(const BenchBuffer&) = delete;
  BenchBuffer& operator=(const BenchBuffer&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  uint64_t bytes_ = 0;
};

class BenchRank {
 public:
  explicit BenchRank(const RankOptions& options);
  ~BenchRank();

  bool join();
  // False: a line with @fail was said.
  bool barrier(uint32_t timeout_ms);

  struct Op {
    uint64_t begin_ns = 0, end_ns = 0;
    uint64_t cpu_ns = 0;  // of this process meanwhile
    rhz_op_info info{};
    std::vector<uint32_t> contributors;  // of all chunks, when they are the same
  };
  // One all-reduce of recv (in place) or of send into recv.
  bool allreduce(const void* send, void* recv, uint64_t count, uint32_t timeout_ms, Op& op);
  // Elements of the last op's result that are not what its contributors make; before the first
  // fault these must be all ranks.
  uint64_t wrong(const void* result, uint64_t count, uint64_t op_number);
  // By what algorithms are chosen for so many bytes.
  bool costs(uint64_t bytes, rhz_costs& costs);
  void leave();

  const RankOptions& options() const { return options_; }
  const Values& values() const { return values_; }

 private:
  bool fail(rhz_status status, const std::string& what);
  bool finish(rhz_op* op, uint32_t timeout_ms, const char* what);
  bool legal(const std::vector<uint32_t>& slots) const;
  std::vector<uint32_t> contributors_at(uint64_t element) const;

  const RankOptions options_;
  const Values values_;
  rhz_comm* comm_ = nullptr;
  rhz_op* last_ = nullptr;  // kept for its contributors
  rhz_op_info last_info_{};
  uint64_t founded_epoch_ = 0;  // of the view with all ranks
};

bool rank_allreduce(BenchRank& rank);
bool rank_recovery(BenchRank& rank);
// Its exit status; the parent kills it when it has said @ready.
int rank_state(const RankOptions& options);

// Prints one line at once.
void tell(const std::string& line);

}  // namespace rhz::tools
