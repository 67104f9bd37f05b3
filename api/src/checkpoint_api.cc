// rhizome_checkpoint.h.
#include <algorithm>
#include <cstring>
#include <set>

#include "api/src/abi.h"
#include "api/src/handles.h"
#include "recovery/disk/safetensors.h"

namespace {

using rhz::CheckpointKeeper;
using rhz::Code;
using rhz::MemorySlice;
using rhz::Status;
using rhz::api::guard;
using rhz::api::read_struct;
using rhz::api::write_struct;

constexpr uint32_t kMostDims = 8;

Status refused(const std::string& name, const std::string& why) {
  return {Code::kArgument, "tensor \"" + name + "\": " + why};
}

Status read_shape(const rhz_tensor_slice& known, MemorySlice& slice) {
  if (known.dims == 0) {
    if (known.first == 0) return Status::ok();
    return refused(slice.name, "first is " + std::to_string(known.first) +
                                   ", and no shape says of what (rhz_tensor_slice.shape, dims)");
  }
  if (known.dims > kMostDims) return refused(slice.name, "more than 8 dims");
  if (!known.shape) return refused(slice.name, "rhz_tensor_slice.shape is NULL");
  slice.shape.assign(known.shape, known.shape + known.dims);
  uint64_t whole = 0;
  if (!rhz::recovery::element_count(slice.shape, whole))
    return refused(slice.name, "its shape has too many elements");
  if (slice.first > whole || slice.count > whole - slice.first)
    return refused(slice.name,
                   "the slice goes beyond the end of " + rhz::recovery::shape_text(slice.shape));
  return Status::ok();
}

Status read_slice(const rhz_tensor_slice& known, MemorySlice& slice) {
  if (!known.name) return {Code::kArgument, "rhz_tensor_slice.name is NULL"};
  slice.name = known.name;
  if (slice.name.empty() || slice.name.size() > rhz::recovery::kMaxTensorNameBytes)
    return refused(slice.name, "a name has 1 to 127 bytes");
  if (!rhz::reduce::valid_dtype(known.dtype))
    return refused(slice.name, "dtype " + std::to_string(known.dtype) + " is none of RHZ_DTYPE_*");
  if (known.count_elems == 0 || known.count_elems > rhz::kMaxCount)
    return refused(slice.name, "count_elems is 0 or over the limit of 2^40 elements");
  if (!known.data) return refused(slice.name, "data is NULL");
  slice.dtype = static_cast<rhz::reduce::Dtype>(known.dtype);
  slice.first = known.first;
  slice.count = known.count_elems;
  slice.data = static_cast<std::byte*>(known.data);
  return read_shape(known, slice);
}

Status read_slices(const rhz_tensor_slice* slices, uint32_t count, const char* name,
                   std::vector<MemorySlice>& out) {
  if (!slices && count == 0) return Status::ok();
  if (!slices || count == 0)
    return {Code::kArgument, std::string(name) + " is NULL, or slice_count is 0: both or neither"};
  if (count > rhz::recovery::kMaxTensors) return {Code::kArgument, "more than 65 536 slices"};
  rhz::api::StructArray<const rhz_tensor_slice> given;
  if (Status s = given.open(slices, count, name); !s) return s;
  out.resize(count);
  std::set<std::string_view> names;
  for (uint32_t i = 0; i < count; ++i) {
    rhz_tensor_slice known{};
    if (Status s = read_struct(given.at(i), "rhz_tensor_slice", known); !s) return s;
    if (Status s = read_slice(known, out[i]); !s) return s;
    if (!names.insert(out[i].name).second) return refused(out[i].name, "it is named twice");
  }
  return Status::ok();
}

// Which are a device's; these have done what was queued for them.
Status locate(rhz::PeerDriver& driver, std::vector<MemorySlice>& slices) {
  for (MemorySlice& slice : slices) {
    const auto device = driver.device_of(slice.data);
    if (!device) return device.status();
    slice.device = device.value();
    if (!slice.device) continue;
    if (Status settled = slice.device->settle(slice.data); !settled) return settled;
  }
  return Status::ok();
}

Status read_folder(const char* folder, const char* name, std::string& out) {
  if (!folder || !*folder) return {Code::kArgument, std::string(name) + ".folder is not set"};
  out = folder;
  return Status::ok();
}

Status read_choice(const rhz_checkpoint_params* params, CheckpointKeeper::Choice& choice) {
  rhz_checkpoint_params known{};
  if (Status s = read_struct(params, "rhz_checkpoint_params", known); !s) return s;
  if (known.flags != 0) return {Code::kArgument, "rhz_checkpoint_params.flags has unknown flags"};
  if (Status s = read_folder(known.folder, "rhz_checkpoint_params", choice.folder); !s) return s;
  choice.revision = known.revision;
  choice.part = known.part;
  choice.parts = std::max(known.parts, 1u);
  choice.writer = known.writers == 0 ? choice.part : known.writer;
  choice.writers = known.writers == 0 ? choice.parts : known.writers;
  choice.keep = known.keep;
  return read_slices(known.slices, known.slice_count, "rhz_checkpoint_params.slices",
                     choice.slices);
}

// Whatever became of it, the caller learns how far it is.
template <class Ask>
rhz_status ask(rhz_comm* comm, rhz_checkpoint_info* out_info, Ask ask_keeper) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz_checkpoint_info info{};
    if (out_info)
      if (Status s = write_struct(info, "rhz_checkpoint_info", out_info); !s) return s;
    CheckpointKeeper::Progression now;
    Status outcome = ask_keeper(driver.value()->checkpoints(), now);
    info.revision = now.revision;
    info.bytes = now.bytes;
    info.written = now.written;
    info.complete = now.complete;
    if (out_info)
      if (Status s = write_struct(info, "rhz_checkpoint_info", out_info); !s) return s;
    return outcome;
  });
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_checkpoint(rhz_comm* comm, const rhz_checkpoint_params* params) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    CheckpointKeeper::Choice choice;
    if (Status s = read_choice(params, choice); !s) return s;
    if (Status s = locate(*driver.value(), choice.slices); !s) return s;
    return driver.value()->checkpoints().begin(choice);
  });
}

RHZ_API rhz_status rhz_checkpoint_fence(rhz_comm* comm, uint32_t timeout_ms) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    return driver ? driver.value()->checkpoints().fence(rhz::milliseconds(timeout_ms))
                  : driver.status();
  });
}

RHZ_API rhz_status rhz_checkpoint_wait(rhz_comm* comm, uint32_t timeout_ms,
                                       rhz_checkpoint_info* out_info) {
  return ask(comm, out_info, [&](CheckpointKeeper& keeper, CheckpointKeeper::Progression& now) {
    return keeper.wait(rhz::milliseconds(timeout_ms), now);
  });
}

RHZ_API rhz_status rhz_checkpoint_poll(rhz_comm* comm, rhz_checkpoint_info* out_info) {
  return ask(comm, out_info, [](CheckpointKeeper& keeper, CheckpointKeeper::Progression& now) {
    return keeper.poll(now);
  });
}

RHZ_API rhz_status rhz_checkpoint_load(rhz_comm* comm, const rhz_checkpoint_load_params* params,
                                       rhz_checkpoint_load_info* out_info) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    rhz_checkpoint_load_params known{};
    if (Status s = read_struct(params, "rhz_checkpoint_load_params", known); !s) return s;
    if (known.flags != 0)
      return Status(Code::kArgument, "rhz_checkpoint_load_params.flags has unknown flags");
    rhz_checkpoint_load_info info{};
    if (out_info)
      if (Status s = write_struct(info, "rhz_checkpoint_load_info", out_info); !s) return s;
    CheckpointKeeper::Wanted wanted;
    if (Status s = read_folder(known.folder, "rhz_checkpoint_load_params", wanted.folder); !s)
      return s;
    if (known.run_id) wanted.run_id = known.run_id;
    wanted.revision = known.revision;
    if (Status s = read_slices(known.slices, known.slice_count, "rhz_checkpoint_load_params.slices",
                               wanted.slices);
        !s)
      return s;
    if (Status s = locate(*driver.value(), wanted.slices); !s) return s;
    auto loaded = driver.value()->checkpoints().load(wanted);
    if (!loaded) return loaded.status();
    info.revision = loaded.value().revision;
    info.bytes = loaded.value().bytes;
    info.skipped = static_cast<uint32_t>(loaded.value().skipped.size());
    if (info.skipped)
      std::strncpy(info.text, loaded.value().skipped.front().text().c_str(), sizeof info.text - 1);
    return out_info ? write_struct(info, "rhz_checkpoint_load_info", out_info) : Status::ok();
  });
}
}
