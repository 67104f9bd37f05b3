#include "recovery/disk/checkpoint_manifest.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "recovery/disk/json.h"
#include "recovery/disk/safetensors.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

constexpr const char* kFormat = "rhizome-checkpoint";
constexpr uint64_t kVersion = 1;
constexpr size_t kHexDigits = 2 * sizeof(Digest);

Status corrupt(const std::string& why) { return {Code::kCorrupt, "manifest: " + why}; }

std::string hex(const std::vector<Digest>& digests) {
  std::string text;
  text.reserve(digests.size() * kHexDigits);
  for (const Digest& digest : digests) text += to_hex(digest);
  return text;
}

Digest digest_of_text(const Json& json) {
  const std::string text = json_text(json);
  return digest128(bytes_of(text.data(), text.size()));
}

bool read_digests(const Json* json, std::vector<Digest>& digests) {
  std::string text;
  if (!read(json, text) || text.size() % kHexDigits != 0) return false;
  digests.resize(text.size() / kHexDigits);
  for (size_t i = 0; i < digests.size(); ++i) {
    const auto digest = digest_from_hex(std::string_view(text).substr(i * kHexDigits, kHexDigits));
    if (!digest) return false;
    digests[i] = *digest;
  }
  return true;
}

// A name in the checkpoint's own folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name.front() != '.';
}

bool read_file(const Json& json, FileRecord& file) {
  return read(field(json, "name"), file.name) && is_plain_name(file.name) &&
         read(field(json, "bytes"), file.bytes) &&
         read_digests(field(json, "blocks"), file.blocks) &&
         file.blocks.size() == digest_blocks(file.bytes);
}

bool read_slice(const Json& json, SliceRecord& slice) {
  return read(field(json, "file"), slice.file) && read(field(json, "first"), slice.first) &&
         read(field(json, "count"), slice.count);
}

template <class Record, class Read>
bool read_list(const Json* json, std::vector<Record>& records, Read read_one) {
  if (json == nullptr || !json->is_array()) return false;
  return std::all_of(json->begin(), json->end(),
                     [&](const Json& one) { return read_one(one, records.emplace_back()); });
}

bool read_tensor(const Json& json, TensorRecord& tensor) {
  uint64_t dtype = 0;
  if (!read(field(json, "dtype"), dtype) || dtype > UINT32_MAX ||
      !reduce::valid_dtype(static_cast<uint32_t>(dtype)))
    return false;
  tensor.dtype = static_cast<reduce::Dtype>(dtype);
  return read(field(json, "name"), tensor.name) && read(field(json, "shape"), tensor.shape) &&
         read_list(field(json, "slices"), tensor.slices, read_slice);
}

std::string file_of(const TensorRecord& tensor) {
  return tensor.slices.empty() ? std::string("no file") : tensor.slices.front().file;
}

// An empty text where the slices make the tensor up.
std::string fault_of(const TensorRecord& tensor, const CheckpointManifest& manifest) {
  uint64_t count = 0;
  if (!element_count(tensor.shape, count)) return "has an impossible shape";
  uint64_t next = 0;
  for (const SliceRecord& slice : tensor.slices) {
    if (manifest.file(slice.file) == nullptr) return "has a slice in no file of the checkpoint";
    if (slice.first < next)
      return "has slices that overlap at element " + std::to_string(slice.first);
    if (slice.first > next) break;
    if (slice.count > count - next) return "has slices that go beyond its end";
    next += slice.count;
  }
  if (next < count) return "lacks its elements from " + std::to_string(next) + " on";
  return "";
}

}  // namespace

const TensorRecord* CheckpointManifest::tensor(const std::string& name) const {
  const auto at = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const TensorRecord& record, const std::string& wanted) { return record.name < wanted; });
  return at == tensors.end() || at->name != name ? nullptr : &*at;
}

const FileRecord* CheckpointManifest::file(const std::string& name) const {
  const auto at = std::find_if(files.begin(), files.end(),
                               [&](const FileRecord& record) { return record.name == name; });
  return at == files.end() ? nullptr : &*at;
}

Status CheckpointManifest::add(const CheckpointManifest& part) {
  files.insert(files.end(), part.files.begin(), part.files.end());
  std::map<std::string_view, size_t> known;
  for (size_t i = 0; i < tensors.size(); ++i) known[tensors[i].name] = i;
  std::vector<const TensorRecord*> fresh;
  for (const TensorRecord& tensor : part.tensors) {
    const auto at = known.find(tensor.name);
    if (at == known.end()) {
      fresh.push_back(&tensor);
      continue;
    }
    TensorRecord& own = tensors[at->second];
    if (own.dtype != tensor.dtype || own.shape != tensor.shape)
      return {Code::kDiverged, "tensor \"" + tensor.name + "\" has another dtype or shape in " +
                                   file_of(tensor) + " than in " + file_of(own)};
    own.slices.insert(own.slices.end(), tensor.slices.begin(), tensor.slices.end());
  }
  for (const TensorRecord* tensor : fresh) tensors.push_back(*tensor);
  return Status::ok();
}

Status CheckpointManifest::settle() {
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (size_t i = 0; i < tensors.size(); ++i) {
    TensorRecord& tensor = tensors[i];
    std::sort(tensor.slices.begin(), tensor.slices.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    std::string fault = fault_of(tensor, *this);
    if (i > 0 && tensors[i - 1].name == tensor.name) fault = "is there twice";
    if (!fault.empty()) return {Code::kArgument, "tensor \"" + tensor.name + "\" " + fault};
  }
  return Status::ok();
}

std::string CheckpointManifest::serialise() const {
  Json json = {{"format", kFormat},       {"version", kVersion},  {"run_id", run_id},
               {"revision", revision},    {"root", to_hex(root)}, {"files", Json::array()},
               {"tensors", Json::array()}};
  for (const FileRecord& file : files)
    json["files"].push_back(
        {{"name", file.name}, {"bytes", file.bytes}, {"blocks", hex(file.blocks)}});
  for (const TensorRecord& tensor : tensors) {
    Json slices = Json::array();
    for (const SliceRecord& slice : tensor.slices)
      slices.push_back({{"file", slice.file}, {"first", slice.first}, {"count", slice.count}});
    json["tensors"].push_back({{"name", tensor.name},
                               {"dtype", static_cast<uint32_t>(tensor.dtype)},
                               {"shape", tensor.shape},
                               {"slices", std::move(slices)}});
  }
  json["digest"] = to_hex(digest_of_text(json));
  return json_text(json);
}

Result<CheckpointManifest> CheckpointManifest::parse(std::string_view text) {
  Result<CheckpointManifest> manifest = parse_part(text);
  if (!manifest) return manifest;
  if (Status status = manifest.value().settle(); !status) return corrupt(status.text());
  return manifest;
}

Result<CheckpointManifest> CheckpointManifest::parse_part(std::string_view text) {
  Json json = parse_json(text);
  std::string format, digest;
  uint64_t version = 0;
  if (!read(field(json, "format"), format) || format != kFormat)
    return corrupt("it is no manifest of a checkpoint");
  if (!read(field(json, "version"), version) || version != kVersion)
    return corrupt("its format is of another version than " + std::to_string(kVersion));
  const bool has_digest = read(field(json, "digest"), digest);
  json.erase("digest");
  if (!has_digest || digest != to_hex(digest_of_text(json)))
    return corrupt("it was changed or damaged since it was written");
  CheckpointManifest manifest;
  std::vector<Digest> root;
  if (!read(field(json, "run_id"), manifest.run_id) ||
      !read(field(json, "revision"), manifest.revision) ||
      !read_digests(field(json, "root"), root) || root.size() != 1 ||
      !read_list(field(json, "files"), manifest.files, read_file) ||
      !read_list(field(json, "tensors"), manifest.tensors, read_tensor))
    return corrupt("a field is missing or has another type than it should");
  manifest.root = root[0];
  return manifest;
}

}  // namespace rhz::recovery
