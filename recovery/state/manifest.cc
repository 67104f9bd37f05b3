#include "recovery/state/manifest.h"

#include <algorithm>
#include <span>
#include <utility>

#include "runtime/base/assert.h"
#include "runtime/base/byte_stream.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

constexpr uint32_t kMagic = 0x4d5a4852;  // "RHZM" in memory order
constexpr uint32_t kFormat = 1;
constexpr size_t kHeaderBytes = 40;
constexpr size_t kEntryBytes = 24;  // of a tensor, before its name

Digest root_of(std::span<const TensorManifest> tensors) {
  std::vector<Digest> digests;
  digests.reserve(tensors.size());
  for (const TensorManifest& tensor : tensors) digests.push_back(digest_of(tensor.blocks));
  return digest_of(digests);
}

Status refused(const char* why) { return {Code::kArgument, std::string("manifest: ") + why}; }

Status read_tensor(ByteReader& in, TensorManifest& tensor) {
  if (in.left() < kEntryBytes) return refused("it ends inside a tensor");
  const auto name_bytes = in.number<uint32_t>();
  tensor.dtype = in.number<uint32_t>();
  tensor.count_elems = in.number<uint64_t>();
  tensor.bytes = in.number<uint64_t>();
  if (name_bytes == 0 || name_bytes > kMaxTensorNameBytes) return refused("a name is too long");
  if (tensor.count_elems == 0 || tensor.bytes == 0 || tensor.bytes > kMaxStateBytes ||
      tensor.bytes % tensor.count_elems != 0)
    return refused("a tensor has an impossible size");
  if (in.left() < name_bytes) return refused("it ends inside a name");
  const ConstBytes name = in.raw(name_bytes);
  tensor.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  const uint64_t blocks = digest_blocks(tensor.bytes);
  if (in.left() / sizeof(Digest) < blocks) return refused("it ends inside the block digests");
  tensor.blocks.resize(blocks);
  const ConstBytes digests = in.raw(blocks * sizeof(Digest));
  std::memcpy(tensor.blocks.data(), digests.data(), digests.size());
  return Status::ok();
}

}  // namespace

std::vector<std::byte> Manifest::serialise() const {
  size_t size = kHeaderBytes;
  for (const TensorManifest& tensor : tensors)
    size += kEntryBytes + tensor.name.size() + tensor.blocks.size() * sizeof(Digest);
  ByteWriter out(size);
  out.number(kMagic);
  out.number(kFormat);
  out.number(revision);
  out.number(root);
  out.number(static_cast<uint32_t>(tensors.size()));
  out.number(uint32_t{0});
  for (const TensorManifest& tensor : tensors) {
    out.number(static_cast<uint32_t>(tensor.name.size()));
    out.number(tensor.dtype);
    out.number(tensor.count_elems);
    out.number(tensor.bytes);
    out.raw(bytes_of(tensor.name.data(), tensor.name.size()));
    out.raw(std::as_bytes(std::span(tensor.blocks)));
  }
  return out.take();
}

Result<Manifest> Manifest::parse(ConstBytes bytes) {
  ByteReader in(bytes);
  if (in.left() < kHeaderBytes) return refused("it is shorter than its header");
  if (in.number<uint32_t>() != kMagic) return refused("the magic is wrong");
  if (in.number<uint32_t>() != kFormat) return refused("the format is unknown");
  Manifest manifest;
  manifest.revision = in.number<uint64_t>();
  manifest.root = in.number<Digest>();
  const auto tensors = in.number<uint32_t>();
  if (in.number<uint32_t>() != 0) return refused("a reserved field is set");
  if (tensors > kMaxTensors) return refused("too many tensors");
  if (tensors > in.left() / kEntryBytes) return refused("it is too short for its tensors");
  manifest.tensors.reserve(tensors);
  for (uint32_t i = 0; i < tensors; ++i) {
    TensorManifest tensor;
    if (Status status = read_tensor(in, tensor); !status) return status;
    if (i > 0 && tensor.name <= manifest.tensors.back().name)
      return refused("the names do not rise");
    manifest.tensors.push_back(std::move(tensor));
  }
  if (in.left() != 0) return refused("something follows the last tensor");
  if (root_of(manifest.tensors) != manifest.root)
    return Status(Code::kCorrupt, "manifest: the root does not follow from the block digests");
  return manifest;
}

Status Manifest::matches(const State& state) const {
  const auto local = state.tensors();
  for (size_t i = 0; i < std::min(local.size(), tensors.size()); ++i) {
    const TensorManifest& theirs = tensors[i];
    const Tensor& mine = local[i];
    if (theirs.name != mine.name) {
      return {Code::kDiverged,
              "tensor \"" + mine.name + "\" is registered here, \"" + theirs.name + "\" there"};
    }
    if (theirs.dtype != mine.dtype || theirs.count_elems != mine.count_elems ||
        theirs.bytes != mine.bytes)
      return {Code::kDiverged,
              "tensor \"" + mine.name + "\" is " + type_of(mine) + " here, and " +
                  type_of({{}, theirs.dtype, theirs.count_elems, nullptr, theirs.bytes}) + " there"};
  }
  if (local.size() != tensors.size()) {
    return {Code::kDiverged, std::to_string(local.size()) + " tensors are registered here, " +
                                 std::to_string(tensors.size()) + " there"};
  }
  return Status::ok();
}

uint64_t manifest_bytes(const State& state) {
  uint64_t size = kHeaderBytes;
  for (const Tensor& tensor : state.tensors())
    size += kEntryBytes + tensor.name.size() + digest_blocks(tensor.bytes) * sizeof(Digest);
  return size;
}

ManifestBuilder::ManifestBuilder(const State& state, uint64_t revision) : state_(state) {
  manifest_.revision = revision;
  manifest_.tensors.reserve(state.tensors().size());
}

bool ManifestBuilder::advance(uint64_t budget_bytes) {
  const auto tensors = state_.tensors();
  uint64_t digested = 0;
  size_t index = manifest_.tensors.empty() ? 0 : manifest_.tensors.size() - 1;
  for (; index < tensors.size(); ++index) {
    const Tensor& tensor = tensors[index];
    const uint64_t blocks = digest_blocks(tensor.bytes);
    if (manifest_.tensors.size() == index) {
      manifest_.tensors.push_back(
          {tensor.name, tensor.dtype, tensor.count_elems, tensor.bytes, {}});
      manifest_.tensors.back().blocks.reserve(blocks);
    }
    auto& done = manifest_.tensors[index].blocks;
    for (; done.size() < blocks; digested += kDigestBlockBytes) {
      if (digested >= budget_bytes) return false;
      done.push_back(digest128(digest_block(tensor.view(), done.size())));
    }
  }
  if (!std::exchange(done_, true)) manifest_.root = root_of(manifest_.tensors);
  return true;
}

Manifest ManifestBuilder::take() {
  RHZ_ASSERT("R2", done_);
  return std::move(manifest_);
}

}  // namespace rhz::recovery
