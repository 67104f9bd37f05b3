// rhizome_state.h.
#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "api/src/abi.h"
#include "api/src/handles.h"
#include "api/src/tensor_param.h"

namespace {

using rhz::Code;
using rhz::Status;
using rhz::api::guard;
using rhz::api::read_optional;

Status unknown_flags(const char* name) {
  return {Code::kArgument, std::string(name) + ".flags has unknown flags"};
}

// Before the tensors change.
Status not_copying(rhz::PeerDriver& driver) {
  if (!driver.checkpoints().copying()) return Status::ok();
  return {Code::kState,
          "the tensors of a checkpoint are still being copied: call rhz_checkpoint_fence first"};
}

constexpr uint32_t kMostTensors = rhz::recovery::kMaxTensors;

// The caller's array, whose elements have the size that the caller knows.
class CallersTensors {
 public:
  Status read(const rhz_attach_params& params) {
    if (!params.tensors || params.tensor_count == 0)
      return {Code::kArgument,
              "rhz_attach_params.tensors names no tensor: say what the trainer had registered"};
    if (params.tensor_count > kMostTensors) return {Code::kArgument, "more than 65 536 tensors"};
    if (Status s = given_.open(params.tensors, params.tensor_count, "rhz_attach_params.tensors");
        !s)
      return s;
    tensors_.resize(params.tensor_count);
    std::vector<size_t> order(params.tensor_count);
    std::iota(order.begin(), order.end(), size_t{0});
    std::vector<rhz::recovery::Tensor> read(params.tensor_count);
    for (size_t i = 0; i < read.size(); ++i)
      if (Status s = rhz::api::read_tensor(given_.at(i), read[i]); !s) return s;
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return read[a].name < read[b].name; });
    for (size_t i = 0; i < order.size(); ++i) tensors_[i] = std::move(read[order[i]]);
    for (size_t i = 1; i < tensors_.size(); ++i)
      if (tensors_[i].name == tensors_[i - 1].name)
        return {Code::kArgument, "tensor \"" + tensors_[i].name + "\" is named twice"};
    order_ = std::move(order);
    return Status::ok();
  }
  std::vector<rhz::recovery::Tensor>& sorted() { return tensors_; }
  void fill_in() {
    for (size_t i = 0; i < order_.size(); ++i) given_.at(order_[i])->data = tensors_[i].data;
  }

 private:
  rhz::api::StructArray<rhz_tensor> given_;
  std::vector<rhz::recovery::Tensor> tensors_;  // by rising name
  std::vector<size_t> order_;                   // where each lies in the caller's array
};

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_state_begin_update(rhz_comm* comm) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    if (Status s = not_copying(*driver.value()); !s) return s;
    return driver.value()->keeper().begin_update();
  });
}

RHZ_API rhz_status rhz_state_end_update(rhz_comm* comm) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    return driver ? driver.value()->keeper().end_update() : driver.status();
  });
}

RHZ_API rhz_status rhz_state_replace(rhz_comm* comm) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    if (Status s = not_copying(*driver.value()); !s) return s;
    return driver.value()->keeper().begin_replacement();
  });
}

RHZ_API rhz_status rhz_snapshot_list(rhz_comm* comm, uint64_t* revisions, uint32_t* inout_count) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    if (!revisions || !inout_count)
      return Status(Code::kArgument, "revisions or inout_count is NULL");
    auto found = driver.value()->keeper().snapshots();
    if (!found) return found.status();
    const std::vector<uint64_t>& all = found.value();
    const auto room = std::exchange(*inout_count, static_cast<uint32_t>(all.size()));
    if (room < all.size())
      return Status(Code::kArgument, "there is no room for " + std::to_string(all.size()));
    std::copy(all.begin(), all.end(), revisions);
    return Status::ok();
  });
}

RHZ_API rhz_status rhz_state_attach(rhz_comm* comm, const rhz_attach_params* params,
                                    rhz_attach_info* out_info) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz_attach_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_attach_params", known); !s) return s;
    if (known.flags > RHZ_ATTACH_UNCHECKED) return unknown_flags("rhz_attach_params");
    rhz_attach_info info{};
    if (out_info)
      if (Status s = rhz::api::write_struct(info, "rhz_attach_info", out_info); !s) return s;
    CallersTensors tensors;
    if (Status s = tensors.read(known); !s) return s;
    auto attached = driver.value()->keeper().attach(tensors.sorted(), known.revision,
                                                    known.flags == RHZ_ATTACH_UNCHECKED);
    if (!attached) return attached.status();
    tensors.fill_in();
    info.revision = attached.value().revision;
    info.bytes = attached.value().bytes;
    info.verified = attached.value().verified;
    return out_info ? rhz::api::write_struct(info, "rhz_attach_info", out_info) : Status::ok();
  });
}

RHZ_API rhz_status rhz_snapshot(rhz_comm* comm, const rhz_snapshot_params* params) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz_snapshot_params known{};
    if (Status s = read_optional(params, "rhz_snapshot_params", known); !s) return s;
    if (known.flags > RHZ_SNAPSHOT_HOLD) return unknown_flags("rhz_snapshot_params");
    if (known.reserved != 0)
      return Status(Code::kArgument, "rhz_snapshot_params.reserved must be 0");
    return driver.value()->keeper().snapshot(
        {known.revision, known.part, std::max(known.parts, 1u), known.flags == RHZ_SNAPSHOT_HOLD});
  });
}

RHZ_API rhz_status rhz_snapshot_fence(rhz_comm* comm, uint32_t timeout_ms) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    return driver ? driver.value()->keeper().fence(rhz::milliseconds(timeout_ms)) : driver.status();
  });
}

RHZ_API rhz_status rhz_snapshot_seal(rhz_comm* comm, uint64_t revision) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    return driver ? driver.value()->keeper().seal(revision) : driver.status();
  });
}

RHZ_API rhz_status rhz_restore(rhz_comm* comm, const rhz_restore_params* params,
                               rhz_restore_info* out_info) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz_restore_params known{};
    if (Status s = read_optional(params, "rhz_restore_params", known); !s) return s;
    if (known.flags > RHZ_RESTORE_UNCHECKED) return unknown_flags("rhz_restore_params");
    if (known.reserved != 0)
      return Status(Code::kArgument, "rhz_restore_params.reserved must be 0");
    rhz_restore_info info{};
    if (out_info)
      if (Status s = rhz::api::write_struct(info, "rhz_restore_info", out_info); !s) return s;
    if (Status s = not_copying(*driver.value()); !s) return s;
    auto restored = driver.value()->restore(known.revision, known.flags == RHZ_RESTORE_UNCHECKED);
    if (!restored) return restored.status();
    info.revision = restored.value().revision;
    info.bytes = restored.value().data_bytes;
    info.part = restored.value().part;
    info.parts = restored.value().parts;
    return out_info ? rhz::api::write_struct(info, "rhz_restore_info", out_info) : Status::ok();
  });
}
}
