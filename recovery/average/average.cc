#include "recovery/average/average.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "collectives/reduce/dtype.h"
#include "collectives/reduce/half.h"
#include "runtime/base/bytes.h"

namespace rhz::recovery {
namespace {

using reduce::Dtype;

// How elements of a dtype are read, computed with and written.
struct F64 {
  using Stored = double;
  using Wide = double;
  static double widen(double x) { return x; }
  static double narrow(double x) { return x; }
};
struct F32 {
  using Stored = float;
  using Wide = double;
  static double widen(float x) { return x; }
  static float narrow(double x) { return static_cast<float>(x); }
};
struct F16 {
  using Stored = uint16_t;
  using Wide = float;
  static float widen(uint16_t x) { return reduce::f32_from_f16(x); }
  static uint16_t narrow(float x) { return reduce::f16_from_f32(x); }
};
struct Bf16 {
  using Stored = uint16_t;
  using Wide = float;
  static float widen(uint16_t x) { return reduce::f32_from_bf16(x); }
  static uint16_t narrow(float x) { return reduce::bf16_from_f32(x); }
};

// Calls `run` with the type for `dtype`; the dtype is a float.
template <class Run>
void with_float(Dtype dtype, Run run) {
  switch (dtype) {
    case Dtype::f64: return run(F64());
    case Dtype::f32: return run(F32());
    case Dtype::f16: return run(F16());
    default: return run(Bf16());
  }
}

template <class Float>
void average_elements(std::byte* out, const std::byte* a, const std::byte* b, size_t count,
                      NeighbourWeights weights) {
  using Stored = typename Float::Stored;
  using Wide = typename Float::Wide;
  const Wide before = static_cast<Wide>(weights.before), after = static_cast<Wide>(weights.after);
  const Wide sum = before + after;
  for (size_t i = 0; i < count; ++i) {
    const Wide x = Float::widen(load<Stored>(a + i * sizeof(Stored)));
    const Wide y = Float::widen(load<Stored>(b + i * sizeof(Stored)));
    store(out + i * sizeof(Stored), Float::narrow((before * x + after * y) / sum));
  }
}

template <class Float>
double squares(const std::byte* data, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const double x =
        Float::widen(load<typename Float::Stored>(data + i * sizeof(typename Float::Stored)));
    sum += x * x;
  }
  return sum;
}

Status refused(const Tensor& tensor, const char* why) {
  return {Code::kArgument, "tensor \"" + tensor.name + "\" " + why};
}

bool is_float(const Tensor& tensor) {
  return reduce::valid_dtype(tensor.dtype) && reduce::is_float(static_cast<Dtype>(tensor.dtype));
}

Status check_alike(std::span<const Tensor> neighbour, std::span<const Tensor> lost) {
  if (neighbour.size() != lost.size())
    return {Code::kArgument, "the stages have " + std::to_string(neighbour.size()) + " and " +
                                 std::to_string(lost.size()) +
                                 " tensors: they have to be equal in shape"};
  for (size_t i = 0; i < lost.size(); ++i) {
    const Tensor &theirs = neighbour[i], &ours = lost[i];
    if (theirs.dtype != ours.dtype || theirs.count_elems != ours.count_elems ||
        theirs.bytes != ours.bytes)
      return {Code::kArgument, "tensor \"" + ours.name + "\" has another dtype or count than \"" +
                                   theirs.name + "\" of the neighbour"};
  }
  return Status::ok();
}

Status check_floats(std::span<const Tensor> tensors) {
  for (const Tensor& tensor : tensors)
    if (!is_float(tensor)) return refused(tensor, "is no float: only floats can be averaged");
  return Status::ok();
}

}  // namespace

Result<NeighbourWeights> neighbour_weights(Weighting weighting, double norm_before,
                                           double norm_after, double clip_norm) {
  if (weighting == Weighting::mean) return NeighbourWeights();
  const auto usable = [](double norm) { return std::isfinite(norm) && norm >= 0; };
  if (!usable(norm_before) || !usable(norm_after) || !usable(clip_norm))
    return Status(Code::kArgument,
                  "a gradient norm is negative or not finite: average with equal weights instead");
  if (weighting == Weighting::clipped_norm && clip_norm > 0) {
    norm_before = std::min(norm_before, clip_norm);
    norm_after = std::min(norm_after, clip_norm);
  }
  return NeighbourWeights{norm_before + kWeightFloor, norm_after + kWeightFloor};
}

Result<double> l2_norm(std::span<const Tensor> tensors) {
  if (Status status = check_floats(tensors); !status) return status;
  double sum = 0;
  for (const Tensor& tensor : tensors) {
    with_float(static_cast<Dtype>(tensor.dtype),
               [&](auto type) { sum += squares<decltype(type)>(tensor.data, tensor.count_elems); });
  }
  return std::sqrt(sum);
}

Result<StageAverage> StageAverage::average(std::span<const Tensor> before,
                                           std::span<const Tensor> after, NeighbourWeights weights,
                                           std::span<const Tensor> lost) {
  Result<StageAverage> run = copy(before, lost);
  Status status = run.status();
  if (status) status = check_alike(after, lost);
  if (status) status = check_floats(lost);
  if (!status) return status;
  run.value().after_.assign(after.begin(), after.end());
  run.value().weights_ = weights;
  return run;
}

Result<StageAverage> StageAverage::copy(std::span<const Tensor> neighbour,
                                        std::span<const Tensor> lost) {
  if (Status status = check_alike(neighbour, lost); !status) return status;
  StageAverage run;
  run.before_.assign(neighbour.begin(), neighbour.end());
  run.lost_.assign(lost.begin(), lost.end());
  return run;
}

bool StageAverage::step(uint64_t budget_bytes) {
  for (uint64_t spent = 0; !done() && spent < std::max<uint64_t>(budget_bytes, 1);) {
    const Tensor& out = lost_[tensor_];
    const uint64_t size = out.bytes / out.count_elems;
    const uint64_t count = std::min(out.count_elems - element_, (budget_bytes - spent) / size + 1);
    const uint64_t at = element_ * size;
    if (after_.empty()) {
      std::memmove(out.data + at, before_[tensor_].data + at, count * size);  // it may be the same
    } else {
      with_float(static_cast<Dtype>(out.dtype), [&](auto type) {
        average_elements<decltype(type)>(out.data + at, before_[tensor_].data + at,
                                         after_[tensor_].data + at, count, weights_);
      });
    }
    spent += count * size;
    element_ += count;
    if (element_ < out.count_elems) continue;
    element_ = 0;
    ++tensor_;
  }
  return done();
}

}  // namespace rhz::recovery
