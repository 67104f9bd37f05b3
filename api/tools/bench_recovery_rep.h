// One repetition of `bench recovery`: a fresh run, a fault at a random moment of an op, and what
// the survivors stamped.
//
// All stamps are CLOCK_MONOTONIC: the fault's by this process just before it happens, the ops' by
// the ranks, seals and installs by the runtime's own log lines (RHZ_LOG=info), which the ranks
// print.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/tools/bench_world.h"
#include "runtime/base/prng.h"

namespace rhz::tools {

struct RepResult {
  bool missed = false;   // no op was in flight when the fault came
  bool evicted = false;  // a new view without the victim
  // From the fault to the last survivor's: first seal, first install, end of the op in flight.
  double detect_ms = 0, usable_ms = 0, op_done_ms = 0;
  double gone_ms =
      0;  // until the kernel had closed the victim's files (kill): nobody can know earlier
  double steady_op_ms = 0;  // of the survivors afterwards
  double held_share = 0;    // bytes of the op that some survivor held at the seal
  uint64_t redone_bytes = 0;
  uint64_t wrong = 0;
  uint32_t hangs = 0;
  std::string failure;  // what else went wrong; empty: nothing
};

class RecoveryRep {
 public:
  RecoveryRep(const RecoveryOptions& options, Prng& random, std::string log);
  RepResult run();

 private:
  struct OpStamp {
    uint32_t op = 0;
    uint64_t begin_ns = 0, end_ns = 0;
    uint32_t rebuilds = 0;
    uint64_t held = 0, redone = 0, wrong = 0;
    std::string digest;
  };
  struct RankLog {
    uint64_t begun_ns = 0;  // the op of the fault
    std::vector<OpStamp> ops;
    std::vector<uint64_t> seals_ns, installs_ns;
    std::string fail;
    bool hang = false, evicted = false;
  };

  void said(uint32_t rank, std::string_view line);
  void pump(uint64_t until_ns, const std::function<bool()>& wanted);
  bool survivors_ended() const;
  bool reach_the_op();
  uint64_t usual_op_ns() const;
  void strike();
  void wait_for_the_end();
  void judge(RepResult& result) const;
  void judge_op(uint32_t op, RepResult& result) const;
  uint32_t op_in_flight() const;
  double steady_ms(uint32_t after_op) const;
  const OpStamp* stamp(uint32_t rank, uint32_t op) const;

  const RecoveryOptions& options_;
  Prng& random_;
  const std::string log_;
  uint32_t before_ = 0, after_ = 0, victim_ = 0;
  uint64_t fault_ns_ = 0;
  std::unique_ptr<BenchWorld> world_;
  std::vector<RankLog> ranks_;
};

}  // namespace rhz::tools
