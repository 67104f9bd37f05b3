// Neighbour averaging: a lost stage becomes the weighted mean of the stages beside it,
//
//   W_i ← (ω_{i−1} · W_{i−1} + ω_{i+1} · W_{i+1}) / (ω_{i−1} + ω_{i+1})
//   ω_j = ‖g_j‖₂ of the last step + 1e-4
//
// (CheckFree: Blagoev et al., "All is not lost: LLM recovery without checkpoints", 2025).
// Approximate: training goes on from near where it was, not from where it was.  Optimizer moments
// of the stage restart at 0, and its learning rate is to be multiplied by kLearningRateFactor.
//
// Memory is the caller's; one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "recovery/state/state.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

inline constexpr double kWeightFloor = 1e-4;  // the paper's: two gradients of 0 average evenly
inline constexpr double kLearningRateFactor = 1.1;  // the paper's, for the recovered stage

enum class Weighting : uint8_t {
  norm,          // of the gradient before clipping: the paper's text
  clipped_norm,  // after clipping: the paper's code.  A plain mean wherever both neighbours clip
  mean           // 1 and 1
};

struct NeighbourWeights {
  double before = 1;
  double after = 1;
};

// From the gradients' L2 norms before clipping, and the norm they are clipped to (0: never).
// kArgument: norms that are negative or not finite.
[[nodiscard]] Result<NeighbourWeights> neighbour_weights(Weighting weighting, double norm_before,
                                                         double norm_after, double clip_norm);

// The L2 norm over all tensors, summed in f64 in their order.  kArgument: a tensor that is no
// float.
[[nodiscard]] Result<double> l2_norm(std::span<const Tensor> tensors);

// Overwrites the tensors of a lost stage, some at a time.
class StageAverage {
 public:
  // The three stages' tensors correspond by position.  f64 and f32 are averaged in f64, f16 and
  // bf16 in f32, and rounded once. kArgument, naming the tensor: counts or dtypes differ, or it is
  // no float.
  [[nodiscard]] static Result<StageAverage> average(std::span<const Tensor> before,
                                                    std::span<const Tensor> after,
                                                    NeighbourWeights weights,
                                                    std::span<const Tensor> lost);
  // For the first and the last stage.  Any dtype.
  [[nodiscard]] static Result<StageAverage> copy(std::span<const Tensor> neighbour,
                                                 std::span<const Tensor> lost);

  // Writes about `budget_bytes` more; true when all is done.
  bool step(uint64_t budget_bytes);
  bool done() const { return tensor_ == lost_.size(); }

 private:
  StageAverage() = default;

  std::vector<Tensor> before_, after_, lost_;  // after_ is empty where before_ is copied
  NeighbourWeights weights_;
  size_t tensor_ = 0;
  uint64_t element_ = 0;  // of that tensor
};

}  // namespace rhz::recovery
