// rhizome.h, section "state".
#include "api/src/abi.h"
#include "api/src/handles.h"
#include "api/src/tensor_param.h"
#include "collectives/reduce/dtype.h"

namespace {
using rhz::Code;
using rhz::Status;
using rhz::api::guard;
}  // namespace

Status rhz::api::read_tensor(const rhz_tensor* tensor, rhz::recovery::Tensor& out) {
  rhz_tensor known{};
  if (Status s = read_struct(tensor, "rhz_tensor", known); !s) return s;
  if (!known.name) return {Code::kArgument, "rhz_tensor.name is NULL"};
  if (!rhz::reduce::valid_dtype(known.dtype))
    return {Code::kArgument, "dtype " + std::to_string(known.dtype) + " is none of RHZ_DTYPE_*"};
  if (known.count_elems > rhz::kMaxCount) return {Code::kArgument, "count_elems is over the limit of 2^40 elements"};
  if (known.flags > RHZ_TENSOR_OWN) return {Code::kArgument, "rhz_tensor.flags has unknown flags"};
  out.name = known.name;
  out.own = known.flags == RHZ_TENSOR_OWN;
  out.dtype = known.dtype;
  out.count_elems = known.count_elems;
  out.data = static_cast<std::byte*>(known.data);
  out.bytes = known.count_elems * rhz::reduce::size_of(static_cast<rhz::reduce::Dtype>(known.dtype));
  return Status::ok();
}

Status rhz::api::read_tensors(const rhz_tensor* tensors, uint32_t count, const char* name,
                              std::vector<rhz::recovery::Tensor>& out) {
  if (count > rhz::recovery::kMaxTensors) return {Code::kArgument, "more than 65 536 tensors"};
  StructArray<const rhz_tensor> given;
  if (Status s = given.open(tensors, count, name); !s) return s;
  out.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    if (Status s = read_tensor(given.at(i), out[i]); !s) return s;
    if (!out[i].data || out[i].count_elems == 0)
      return {Code::kArgument, "tensor \"" + out[i].name + "\": data is NULL, or count_elems is 0"};
  }
  return Status::ok();
}

extern "C" {

RHZ_API rhz_status rhz_state_register(rhz_comm* comm, const rhz_tensor* tensor) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz::recovery::Tensor t;
    if (Status s = rhz::api::read_tensor(tensor, t); !s) return s;
    auto device = driver.value()->device_of(t.data);
    if (!device) return device.status();
    t.device = device.value();
    return driver.value()->add_tensor(std::move(t));
  });
}

RHZ_API rhz_status rhz_state_commit(rhz_comm* comm, uint64_t revision) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    return driver.value()->commit(revision);
  });
}

RHZ_API rhz_status rhz_state_digest(rhz_comm* comm, uint8_t out_digest[16]) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    if (!out_digest) return Status(Code::kArgument, "out_digest is NULL");
    const auto digest = driver.value()->digest();
    if (!digest) return digest.status();
    std::memcpy(out_digest, digest.value().data(), digest.value().size());
    return Status::ok();
  });
}
}
