// rhizome_stages.h.
#include <algorithm>
#include <vector>

#include "api/src/device_copies.h"
#include "api/src/tensor_param.h"
#include "recovery/average/average.h"
#include "recovery/average/stage_order.h"

namespace {

using rhz::Code;
using rhz::Status;
using rhz::api::guard;
using rhz::api::read_tensors;
using rhz::api::DeviceCopies;
using rhz::api::write_struct;
using rhz::recovery::NeighbourWeights;
using rhz::recovery::StageAverage;
using rhz::recovery::Tensor;
using rhz::recovery::Weighting;

constexpr uint32_t kMostLost = 65'536;

// The same memory, or none of it.
Status check_apart(const std::vector<Tensor>& neighbour, const std::vector<Tensor>& lost) {
  for (size_t i = 0; i < std::min(neighbour.size(), lost.size()); ++i) {
    const Tensor &theirs = neighbour[i], &ours = lost[i];
    if (theirs.data == ours.data) continue;
    const auto a = reinterpret_cast<uintptr_t>(theirs.data),
               b = reinterpret_cast<uintptr_t>(ours.data);
    if (a < b + ours.bytes && b < a + theirs.bytes)
      return {Code::kOverlap, "tensor \"" + ours.name + "\" overlaps \"" + theirs.name +
                                  "\" of a neighbour without being the same memory"};
  }
  return Status::ok();
}

struct Stages {
  std::vector<Tensor> before, after, lost;

  Status read(const rhz_average_params& p) {
    if (p.tensor_count == 0 || !p.before || !p.lost)
      return {Code::kArgument, "rhz_average_params.before or .lost names no tensor"};
    Status s = read_tensors(p.before, p.tensor_count, "rhz_average_params.before", before);
    if (s && p.after) s = read_tensors(p.after, p.tensor_count, "rhz_average_params.after", after);
    if (s) s = read_tensors(p.lost, p.tensor_count, "rhz_average_params.lost", lost);
    if (s) s = check_apart(before, lost);
    return s ? check_apart(after, lost) : s;
  }
};

Status average(const rhz_average_params& p, rhz_average_info& info) {
  Stages stages;
  if (Status s = stages.read(p); !s) return s;
  if (p.weighting > RHZ_WEIGHTING_MEAN)
    return {Code::kArgument,
            "weighting " + std::to_string(p.weighting) + " is none of RHZ_WEIGHTING_*"};
  NeighbourWeights weights{1, 0};
  if (p.after) {
    const auto found = rhz::recovery::neighbour_weights(static_cast<Weighting>(p.weighting),
                                                        p.norm_before, p.norm_after, p.clip_norm);
    if (!found) return found.status();
    weights = found.value();
  }
  DeviceCopies read_only, written;
  for (auto* tensors : {&stages.before, &stages.after})
    if (Status s = read_only.take(*tensors); !s) return s;
  if (Status s = written.take(stages.lost); !s) return s;
  auto run = p.after ? StageAverage::average(stages.before, stages.after, weights, stages.lost)
                     : StageAverage::copy(stages.before, stages.lost);
  if (!run) return run.status();
  while (!run.value().step(UINT64_MAX)) continue;
  if (Status s = written.put_back(); !s) return s;
  info.weight_before = weights.before;
  info.weight_after = weights.after;
  info.learning_rate_factor = rhz::recovery::kLearningRateFactor;
  return Status::ok();
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_stage_order(uint64_t micro_batch, uint32_t stages, uint32_t* out_order) {
  return guard([&]() -> Status {
    if (!out_order) return Status(Code::kArgument, "out_order is NULL");
    const auto order = rhz::recovery::stage_order(micro_batch, stages);
    if (!order) return order.status();
    std::copy(order.value().begin(), order.value().end(), out_order);
    return Status::ok();
  });
}

RHZ_API rhz_status rhz_stage_stand_in(uint32_t stage, const uint32_t* lost, uint32_t lost_count,
                                      uint32_t stages, uint32_t schedule, rhz_stand_in* out) {
  return guard([&]() -> Status {
    rhz_stand_in found{};
    if (Status s = write_struct(found, "rhz_stand_in", out); !s) return s;
    if (lost_count > kMostLost || (lost_count > 0 && !lost))
      return Status(Code::kArgument, "lost is NULL, or has more than 65 536 stages");
    if (schedule > RHZ_SCHEDULE_SWAPPED)
      return Status(Code::kArgument,
                    "schedule " + std::to_string(schedule) + " is none of RHZ_SCHEDULE_*");
    const auto result = rhz::recovery::stand_in(stage, {lost, lost_count}, stages,
                                                static_cast<rhz::recovery::Schedule>(schedule));
    if (!result) return result.status();
    found.copy = result.value().copy;
    found.before = result.value().before;
    found.after = result.value().after;
    return write_struct(found, "rhz_stand_in", out);
  });
}

RHZ_API rhz_status rhz_average_stage(const rhz_average_params* params, rhz_average_info* out_info) {
  return guard([&]() -> Status {
    rhz_average_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_average_params", known); !s) return s;
    rhz_average_info info{};
    if (out_info)
      if (Status s = write_struct(info, "rhz_average_info", out_info); !s) return s;
    if (Status s = average(known, info); !s) return s;
    return out_info ? write_struct(info, "rhz_average_info", out_info) : Status::ok();
  });
}

RHZ_API rhz_status rhz_gradient_norm(const rhz_tensor* tensors, uint32_t tensor_count,
                                     double* out_norm) {
  return guard([&]() -> Status {
    if (!out_norm) return Status(Code::kArgument, "out_norm is NULL");
    if (!tensors || tensor_count == 0) return Status(Code::kArgument, "tensors names no tensor");
    std::vector<Tensor> read;
    if (Status s = read_tensors(tensors, tensor_count, "tensors", read); !s) return s;
    DeviceCopies copies;
    if (Status s = copies.take(read); !s) return s;
    const auto norm = rhz::recovery::l2_norm(read);
    if (!norm) return norm.status();
    *out_norm = norm.value();
    return Status::ok();
  });
}
}
