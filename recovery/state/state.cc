#include "recovery/state/state.h"

#include <algorithm>
#include <utility>

#include "collectives/reduce/dtype.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

Status refused(const std::string& name, const char* why) {
  return {Code::kArgument, "tensor \"" + name.substr(0, kMaxTensorNameBytes) + "\": " + why};
}

Status check(const Tensor& tensor) {
  if (tensor.name.empty()) return refused(tensor.name, "the name is empty");
  if (tensor.name.size() > kMaxTensorNameBytes)
    return refused(tensor.name, "the name is longer than 127 bytes");
  if (tensor.count_elems == 0) return refused(tensor.name, "count_elems is 0");
  if (tensor.data == nullptr) return refused(tensor.name, "data is NULL");
  if (tensor.bytes == 0 || tensor.bytes % tensor.count_elems != 0)
    return refused(tensor.name, "its size is no multiple of its count");
  return Status::ok();
}

template <class T>
void append(std::vector<std::byte>& out, T value) {
  out.resize(out.size() + sizeof value);
  store(out.data() + out.size() - sizeof value, value);
}

// Where a tensor of that name is, or would be.
std::vector<Tensor>::iterator place_of(std::vector<Tensor>& tensors, const std::string& name) {
  return std::lower_bound(tensors.begin(), tensors.end(), name,
                          [](const Tensor& a, const std::string& other) { return a.name < other; });
}

}  // namespace

std::string type_of(const Tensor& tensor) {
  return std::to_string(tensor.count_elems) + " × " + reduce::name(static_cast<reduce::Dtype>(tensor.dtype));
}

Status State::add(Tensor tensor) {
  if (frozen_) return {Code::kState, "tensors are registered before the peer joins"};
  if (Status status = check(tensor); !status) return status;
  if (all_.size() >= kMaxTensors) return refused(tensor.name, "more than 65 536 tensors");
  if (tensor.bytes > kMaxStateBytes - bytes_)
    return refused(tensor.name, "the registered state would exceed 4 TiB");
  const auto at = place_of(all_, tensor.name);
  if (at != all_.end() && at->name == tensor.name) return refused(tensor.name, "the name is taken");
  bytes_ += tensor.bytes;
  if (!tensor.own) {
    shared_.insert(place_of(shared_, tensor.name), tensor);
    shared_bytes_ += tensor.bytes;
  }
  all_.insert(at, std::move(tensor));
  return Status::ok();
}

Digest State::shape() const {
  std::vector<std::byte> text;
  append(text, static_cast<uint32_t>(shared_.size()));
  for (const Tensor& tensor : shared_) {
    append(text, static_cast<uint32_t>(tensor.name.size()));
    const ConstBytes name = bytes_of(tensor.name.data(), tensor.name.size());
    text.insert(text.end(), name.begin(), name.end());
    append(text, tensor.dtype);
    append(text, tensor.count_elems);
  }
  return digest128(text);
}

Digest State::root() const {
  std::vector<Digest> digests;
  digests.reserve(all_.size());
  for (const Tensor& tensor : all_) digests.push_back(tensor_digest(tensor.view()));
  return digest_of(digests);
}

Status State::commit(uint64_t revision) {
  if (header_->open() && !forgotten_)
    return {Code::kState, "an update is open: end it (rhz_state_end_update) before its revision is committed"};
  if (!replacing_ && revision_ && (*revision_ == UINT64_MAX || revision != *revision_ + 1)) {
    return {Code::kArgument, "revision " + std::to_string(revision) + " does not follow " +
                                 std::to_string(*revision_) + ": it grows by one per commit"};
  }
  revision_ = revision;
  replacing_ = false;
  if (std::exchange(forgotten_, false)) header_->end_update();
  header_->commit(revision);
  return Status::ok();
}

}  // namespace rhz::recovery
