// rhizome_shadow.h.
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "api/src/abi.h"
#include "api/src/device_copies.h"
#include "api/src/shadow_handle.h"
#include "api/src/tensor_param.h"
#include "collectives/op.h"
#include "recovery/optimizer/adamw.h"
#include "recovery/optimizer/sgd.h"
#include "recovery/state/device_tensors.h"

namespace {

using rhz::Code;
using rhz::ConstBytes;
using rhz::Status;
using rhz::api::guard;
using rhz::api::read_struct;
using rhz::api::write_struct;
using rhz::recovery::AdamW;
using rhz::recovery::AdamWOptions;
using rhz::recovery::CallbackRule;
using rhz::recovery::RuleOptions;
using rhz::recovery::RuleTensors;
using rhz::recovery::Sgd;
using rhz::recovery::SgdOptions;
using rhz::recovery::Tensor;

constexpr uint32_t kMostGroups = 65'536;
constexpr uint64_t kMostElements = rhz::kMaxCount;

Status refused(const std::string& why) { return {Code::kArgument, "rhz_shadow_params." + why}; }

bool usable(double value) { return std::isfinite(value) && value >= 0; }

Status read_groups(const rhz_shadow_params& p, RuleOptions& options) {
  if (!p.groups) return p.group_count == 0 ? Status::ok() : refused("groups is NULL");
  if (p.group_count == 0 || p.group_count > kMostGroups)
    return refused("group_count is 0 or over 65 536");
  rhz::api::StructArray<const rhz_parameter_group> given;
  if (Status s = given.open(p.groups, p.group_count, "rhz_shadow_params.groups"); !s) return s;
  for (uint32_t i = 0; i < p.group_count; ++i) {
    rhz_parameter_group group{};
    if (Status s = read_struct(given.at(i), "rhz_parameter_group", group); !s) return s;
    if (group.decays > 1 || group.reserved != 0)
      return refused("groups: decays is 0 or 1, and reserved 0");
    options.groups.push_back({group.offset, group.count_elems, group.decays == 1});
  }
  return Status::ok();
}

Status read_options(const rhz_shadow_params& p, RuleOptions& options) {
  if (!usable(p.learning_rate)) return refused("learning_rate is negative or not finite");
  if (!usable(p.weight_decay)) return refused("weight_decay is negative or not finite");
  if (!usable(p.max_gradient_norm)) return refused("max_gradient_norm is negative or not finite");
  options.weight_decay = p.weight_decay;
  options.max_gradient_norm = p.max_gradient_norm;
  if (p.learning_rate_of)
    options.learning_rate = [rate = p.learning_rate_of, context = p.context](uint64_t step) {
      return rate(step, context);
    };
  else
    options.learning_rate = [rate = p.learning_rate](uint64_t) { return rate; };
  return read_groups(p, options);
}

// Of ADAMW and SGD; `second`: whether there is a second moment.
Status read_memory(const rhz_shadow_params& p, bool second, RuleTensors& tensors) {
  if (p.count_elems == 0 || p.count_elems > kMostElements)
    return refused("count_elems is 0 or over the limit of 2^40 elements");
  if (!p.parameters) return refused("parameters is NULL");
  if (!p.first_moment) return refused("first_moment is NULL");
  if (second && !p.second_moment) return refused("second_moment is NULL");
  if (!p.steps) return refused("steps is NULL");
  if (p.step != 0) return refused("step is 0 for this rule: *steps says it");
  tensors.parameters = {p.parameters, p.count_elems};
  tensors.moments.push_back({p.first_moment, p.count_elems});
  if (second) tensors.moments.push_back({p.second_moment, p.count_elems});
  tensors.steps = p.steps;
  return Status::ok();
}

// The rule, and the tensors that it works on.
template <class Rule, class Options>
Status make_flat(const rhz_shadow_params& p, Options options, bool second, rhz_shadow& shadow,
                 std::vector<Tensor>& tensors) {
  RuleTensors memory;
  if (Status s = read_options(p, options); !s) return s;
  if (Status s = read_memory(p, second, memory); !s) return s;
  auto made = Rule::make(std::move(options), std::move(memory));
  if (!made) return made.status();
  auto rule = std::make_unique<Rule>(std::move(made).value());
  tensors = rule->tensors("");
  shadow.rule = std::move(rule);
  return Status::ok();
}

Status make_rule(const rhz_shadow_params& p, rhz_shadow& shadow, std::vector<Tensor>& tensors) {
  if (p.rule == RHZ_RULE_ADAMW) {
    AdamWOptions options;
    if (!usable(p.beta1) || p.beta1 >= 1) return refused("beta1 is not in [0, 1)");
    if (!usable(p.beta2) || p.beta2 >= 1) return refused("beta2 is not in [0, 1)");
    if (!usable(p.epsilon)) return refused("epsilon is negative or not finite");
    options.beta1 = p.beta1;
    options.beta2 = p.beta2;
    options.epsilon = p.epsilon;
    return make_flat<AdamW>(p, options, true, shadow, tensors);
  }
  if (p.rule == RHZ_RULE_SGD) {
    SgdOptions options;
    if (!usable(p.momentum)) return refused("momentum is negative or not finite");
    options.momentum = p.momentum;
    return make_flat<Sgd>(p, options, false, shadow, tensors);
  }
  if (p.rule != RHZ_RULE_CALLBACK)
    return refused("rule " + std::to_string(p.rule) + " is none of RHZ_RULE_*");
  if (!p.update) return refused("update is NULL");
  if (!p.tensors || p.tensor_count == 0) return refused("tensors names no tensor");
  shadow.rule = std::make_unique<CallbackRule>(
      [update = p.update, context = p.context](uint64_t step, ConstBytes gradient) {
        return update(step, gradient.data(), gradient.size(), context);
      });
  return rhz::api::read_tensors(p.tensors, p.tensor_count, "rhz_shadow_params.tensors", tensors);
}

Status make(const rhz_shadow_params& p, rhz_shadow& shadow) {
  if (p.flags != 0) return refused("flags has unknown flags");
  if (p.reserved != 0 || p.reserved2 != 0) return refused("reserved must be 0");
  if (p.revision == 0) return refused("revision is 0: which one do the tensors hold?");
  std::vector<Tensor> tensors;
  if (Status s = make_rule(p, shadow, tensors); !s) return s;
  if (Status s = rhz::api::mark_device_tensors(tensors); !s) return s;
  if (rhz::recovery::any_on_device(tensors))
    return refused("a tensor is memory of a device: a shadow works on a copy in the host's memory");
  for (Tensor& tensor : tensors)
    if (Status s = shadow.state.add(std::move(tensor)); !s) return s;
  if (Status s = shadow.state.commit(p.revision); !s) return s;
  const uint64_t step = p.rule == RHZ_RULE_CALLBACK ? p.step : *p.steps;
  shadow.shadow.emplace(p.stage ? p.stage : "a stage", shadow.state, *shadow.rule, step);
  return Status::ok();
}

// A shadow that is not broken.
Status check(const rhz_shadow* shadow) {
  if (!shadow) return {Code::kArgument, "the shadow is NULL"};
  return shadow->shadow->status();
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_shadow_create(const rhz_shadow_params* params, rhz_shadow** out_shadow) {
  return guard([&]() -> Status {
    if (!out_shadow) return Status(Code::kArgument, "out_shadow is NULL");
    *out_shadow = nullptr;
    rhz_shadow_params known{};
    if (Status s = read_struct(params, "rhz_shadow_params", known); !s) return s;
    auto shadow = std::make_unique<rhz_shadow>();
    if (Status s = make(known, *shadow); !s) return s;
    *out_shadow = shadow.release();
    return Status::ok();
  });
}

RHZ_API rhz_status rhz_shadow_apply(rhz_shadow* shadow, uint64_t step, const void* gradient,
                                    uint64_t bytes) {
  return guard([&]() -> Status {
    if (Status s = check(shadow); !s) return s;
    if (!gradient) return Status(Code::kArgument, "gradient is NULL");
    return shadow->shadow->apply(step, rhz::bytes_of(gradient, bytes));
  });
}

RHZ_API rhz_status rhz_shadow_compare(rhz_shadow* shadow, uint64_t revision,
                                      const uint8_t owners_digest[16]) {
  return guard([&]() -> Status {
    if (Status s = check(shadow); !s) return s;
    if (!owners_digest) return Status(Code::kArgument, "owners_digest is NULL");
    rhz::Digest digest;
    std::memcpy(digest.data(), owners_digest, digest.size());
    return shadow->shadow->compare(revision, digest);
  });
}

RHZ_API rhz_status rhz_shadow_info_get(rhz_shadow* shadow, rhz_shadow_info* out_info) {
  return guard([&]() -> Status {
    if (!shadow) return check(shadow);
    rhz_shadow_info info{};
    info.revision = shadow->shadow->revision().value_or(0);
    info.step = shadow->shadow->step();
    info.bytes = shadow->state.bytes();
    info.tensor_count = static_cast<uint32_t>(shadow->state.all_tensors().size());
    if (Status s = write_struct(info, "rhz_shadow_info", out_info); !s) return s;
    return check(shadow);
  });
}

RHZ_API rhz_status rhz_shadow_tensors(rhz_shadow* shadow, rhz_tensor* tensors,
                                      uint32_t* inout_count) {
  return guard([&]() -> Status {
    if (Status s = check(shadow); !s) return s;
    if (!tensors || !inout_count) return Status(Code::kArgument, "tensors or inout_count is NULL");
    const auto all = shadow->state.all_tensors();
    const auto room = std::exchange(*inout_count, static_cast<uint32_t>(all.size()));
    if (room < all.size())
      return Status(Code::kArgument, "there is no room for " + std::to_string(all.size()));
    rhz::api::StructArray<rhz_tensor> given;
    if (Status s = given.open(tensors, all.size(), "tensors"); !s) return s;
    for (size_t i = 0; i < all.size(); ++i) {
      rhz_tensor tensor{};
      tensor.name = all[i].name.c_str();
      tensor.data = all[i].data;
      tensor.count_elems = all[i].count_elems;
      tensor.dtype = all[i].dtype;
      if (Status s = write_struct(tensor, "rhz_tensor", given.at(i)); !s) return s;
    }
    return Status::ok();
  });
}

RHZ_API void rhz_shadow_close(rhz_shadow* shadow) { delete shadow; }

RHZ_API rhz_status rhz_digest_tensors(const rhz_tensor* tensors, uint32_t tensor_count,
                                      uint8_t out_digest[16]) {
  return guard([&]() -> Status {
    if (!out_digest) return Status(Code::kArgument, "out_digest is NULL");
    if (!tensors || tensor_count == 0) return Status(Code::kArgument, "tensors names no tensor");
    std::vector<Tensor> read;
    if (Status s = rhz::api::read_tensors(tensors, tensor_count, "tensors", read); !s) return s;
    if (Status s = rhz::api::mark_device_tensors(read); !s) return s;
    rhz::recovery::State state;
    for (Tensor& tensor : read)
      if (Status s = state.add(std::move(tensor)); !s) return s;
    const auto root = rhz::recovery::root_of(state.all_tensors());
    if (!root) return root.status();
    std::memcpy(out_digest, root.value().data(), root.value().size());
    return Status::ok();
  });
}
}
