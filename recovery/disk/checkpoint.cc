#include "recovery/disk/checkpoint.h"

#include <algorithm>
#include <utility>

#include "recovery/disk/checkpoints.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

Status refused(const TensorRecord& tensor, const std::string& why) {
  return {Code::kArgument, "tensor \"" + tensor.name + "\": " + why};
}

// Whether [first, first + bytes / size) of such a tensor can be asked for.
Status check(const TensorRecord& tensor, reduce::Dtype dtype, std::span<const uint64_t> shape,
             uint64_t first, uint64_t bytes) {
  if (tensor.dtype != dtype)
    return refused(tensor, std::string("it is ") + reduce::name(tensor.dtype) +
                               " in the checkpoint, and " + reduce::name(dtype) + " here");
  if (!shape.empty() &&
      !std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end()))
    return refused(tensor, "its shape is " + shape_text(tensor.shape) + " in the checkpoint, and " +
                               shape_text(shape) + " here");
  uint64_t count = 0;
  (void)element_count(tensor.shape, count);
  const uint64_t size = reduce::size_of(dtype);
  if (bytes % size != 0)
    return refused(tensor, "the buffer's size is no multiple of its elements'");
  if (first > count || bytes / size > count - first)
    return refused(tensor, "elements beyond its end: it has " + std::to_string(count));
  return Status::ok();
}

}  // namespace

Checkpoint::Checkpoint(std::string folder, CheckpointManifest manifest)
    : folder_(std::move(folder)), manifest_(std::move(manifest)) {}

Result<Checkpoint> Checkpoint::open(const std::string& root, const std::string& run_id,
                                    uint64_t revision) {
  Result<CheckpointManifest> manifest = read_checkpoint_manifest(root, run_id, revision);
  if (!manifest) return manifest.status();
  return Checkpoint(checkpoint_folder(root, revision), std::move(manifest).value());
}

Result<Checkpoint> Checkpoint::open_newest(const std::string& root, const std::string& run_id) {
  const auto revisions = complete_checkpoints(root);
  if (!revisions) return revisions.status();
  std::vector<Status> skipped;
  for (const uint64_t revision : revisions.value()) {
    Result<Checkpoint> opened = open(root, run_id, revision);
    if (opened) opened.value().skipped_ = std::move(skipped);
    if (opened || opened.status().code() == Code::kRunId) return opened;
    skipped.push_back(opened.status());
  }
  const std::string why = skipped.empty() ? "" : "; the newest: " + skipped.front().text();
  return Status(Code::kStateLost, root + ": no complete checkpoint that can be read" + why);
}

Status Checkpoint::fill(const std::string& name, reduce::Dtype dtype,
                        std::span<const uint64_t> shape, uint64_t first, MutableBytes out) {
  const TensorRecord* tensor = manifest_.tensor(name);
  if (tensor == nullptr) return {Code::kArgument, folder_ + " has no tensor \"" + name + "\""};
  if (Status status = check(*tensor, dtype, shape, first, out.size()); !status) return status;
  const uint64_t size = reduce::size_of(dtype);
  for (const SliceRecord& slice : tensor->slices) {
    if (out.empty()) break;
    if (first >= slice.first + slice.count) continue;
    const uint64_t count = std::min(slice.first + slice.count - first, out.size() / size);
    Status status = fill_from(*tensor, slice, first - slice.first, out.first(count * size));
    if (!status) return status;
    out = out.subspan(count * size);
    first += count;
  }
  return Status::ok();
}

// `first`: within the slice.
Status Checkpoint::fill_from(const TensorRecord& tensor, const SliceRecord& slice, uint64_t first,
                             MutableBytes out) {
  const Result<OpenFile*> opened = file(slice.file);
  if (!opened) return opened.status();
  OpenFile& file = *opened.value();
  const SafetensorsEntry* entry = file.header.find(tensor.name);
  const uint64_t size = reduce::size_of(tensor.dtype);
  if (entry == nullptr || entry->dtype != tensor.dtype ||
      (entry->end - entry->begin) / size != slice.count)
    return {Code::kCorrupt, file.file.path() + ": tensor \"" + tensor.name +
                                "\" is not there as the manifest says"};
  return read(file, file.data_begin + entry->begin + first * size, out);
}

Result<Checkpoint::OpenFile*> Checkpoint::file(const std::string& name) {
  const auto [at, is_new] = files_.try_emplace(name);
  if (is_new) {
    if (Status status = open_file(name, at->second); !status) {
      files_.erase(at);
      return status;
    }
  }
  return &at->second;
}

Status Checkpoint::open_file(const std::string& name, OpenFile& file) {
  file.record = manifest_.file(name);  // settle() has seen that it is there
  Result<File> opened = File::open(folder_ + "/" + name);
  if (!opened) return opened.status();
  file.file = std::move(opened).value();
  std::vector<std::byte> header(std::min<uint64_t>(kSafetensorsLengthBytes, file.record->bytes));
  if (Status status = read(file, 0, header); !status) return status;
  const Result<uint64_t> length = safetensors_header_bytes(header, file.record->bytes);
  if (!length) return {length.status().code(), file.file.path() + ": " + length.status().text()};
  file.data_begin = kSafetensorsLengthBytes + length.value();
  header.resize(length.value());
  if (Status status = read(file, kSafetensorsLengthBytes, header); !status) return status;
  Result<SafetensorsHeader> parsed =
      parse_safetensors_header(header, file.record->bytes - file.data_begin);
  if (!parsed) return {parsed.status().code(), file.file.path() + ": " + parsed.status().text()};
  file.header = std::move(parsed).value();
  return Status::ok();
}

// Whole blocks go to where they belong; of others the part is copied.
Status Checkpoint::read(OpenFile& file, uint64_t at, MutableBytes out) {
  while (!out.empty()) {
    const uint64_t index = at / kDigestBlockBytes, within = at % kDigestBlockBytes;
    const uint64_t block_bytes =
        std::min<uint64_t>(kDigestBlockBytes, file.record->bytes - index * kDigestBlockBytes);
    const uint64_t part = std::min<uint64_t>(block_bytes - within, out.size());
    if (part == block_bytes) {
      if (Status status = verified(file, index, out.first(part)); !status) return status;
    } else {
      if (file.block_index != index) {
        file.block.resize(block_bytes);
        file.block_index = UINT64_MAX;
        if (Status status = verified(file, index, file.block); !status) return status;
        file.block_index = index;
      }
      std::memcpy(out.data(), file.block.data() + within, part);
    }
    out = out.subspan(part);
    at += part;
  }
  return Status::ok();
}

Status Checkpoint::verified(OpenFile& file, uint64_t index, MutableBytes block) {
  if (Status status = file.file.read(block, index * kDigestBlockBytes); !status) return status;
  if (digest128(block) == file.record->blocks[index]) return Status::ok();
  return {Code::kCorrupt, file.file.path() + ": damaged at byte " +
                              std::to_string(index * kDigestBlockBytes) +
                              " or behind: the digest of the block differs"};
}

}  // namespace rhz::recovery
