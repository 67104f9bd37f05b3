// What a run has found: the first violation, and how often each interesting case was met.
#pragma once

#include <array>
#include <cstddef>

namespace rhz::model {

// Transitions that exercise the interesting cases: a clean run with a zero here proves little.
enum class Mark {
  kRedo,
  kKeep,
  kDrop,
  kEmpty,
  kMissing,
  kMixedLayouts,
  kRootDead,
  kRootDeadButFull,
  kLearned,
  kResume,
  kFinal,
  kWaveInLaterEpoch,
  kWaveByEvicted,
  kReleaseByEvicted,
  kReleaseWhileSealed,
  kFrameHeld,
  kReportedAgain,
  kAbort,
  kAbortRefused,
  kLaterOpAborted,
  kAbortOfUnbegun,
  kAdmitRound,
  kAdmitOverOpenOps,
  kJoinerLostInRound,
  kNobodyJoined,
  kSeveralEntered,
  kSomeEntered,
  kGivenUp,
  kAdmitAborted,
  kWaveByWatermark,
  kWatermarkInLaterEpoch,
  kCount,
};

struct Findings {
  const char* violation = nullptr;
  std::size_t uniform_splits = 0;  // releases that break U while only S is enforced
  std::array<std::size_t, static_cast<std::size_t>(Mark::kCount)> marks{};

  void violate(const char* what) {
    if (violation == nullptr) violation = what;
  }
  void mark(Mark mark, bool met = true) { marks[static_cast<std::size_t>(mark)] += met ? 1 : 0; }
};

void print_coverage(const Findings& findings);

}  // namespace rhz::model
