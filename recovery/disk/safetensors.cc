#include "recovery/disk/safetensors.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "recovery/disk/json.h"

namespace rhz::recovery {
namespace {

using reduce::Dtype;

constexpr uint64_t kAlignment = 8;  // of data in the file
constexpr const char* kMetadata = "__metadata__";

constexpr std::pair<Dtype, const char*> kDtypes[] = {
    {Dtype::i8, "I8"},   {Dtype::u8, "U8"},     {Dtype::i16, "I16"}, {Dtype::u16, "U16"},
    {Dtype::i32, "I32"}, {Dtype::u32, "U32"},   {Dtype::i64, "I64"}, {Dtype::u64, "U64"},
    {Dtype::f16, "F16"}, {Dtype::bf16, "BF16"}, {Dtype::f32, "F32"}, {Dtype::f64, "F64"},
};

Status corrupt(const std::string& why) { return {Code::kCorrupt, "safetensors header: " + why}; }

std::string quoted(const std::string& name) { return "tensor \"" + name + "\""; }

// Bytes that an entry has to have; false where there is no such number.
bool data_bytes_of(const SafetensorsEntry& entry, uint64_t& bytes) {
  uint64_t count = 0;
  return element_count(entry.shape, count) &&
         !__builtin_mul_overflow(count, reduce::size_of(entry.dtype), &bytes);
}

Status parse_entry(const std::string& name, const Json& json, uint64_t data_bytes,
                   SafetensorsEntry& entry) {
  entry.name = name;
  std::string dtype;
  std::vector<uint64_t> offsets;
  if (!read(field(json, "dtype"), dtype)) return corrupt(quoted(name) + " has no dtype");
  const auto known = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                  [&](const auto& each) { return dtype == each.second; });
  if (known == std::end(kDtypes))
    return corrupt(quoted(name) + " has the dtype \"" + dtype.substr(0, 32) +
                   "\", which is unknown here");
  entry.dtype = known->first;
  if (!read(field(json, "shape"), entry.shape)) return corrupt(quoted(name) + " has no shape");
  if (!read(field(json, "data_offsets"), offsets) || offsets.size() != 2)
    return corrupt(quoted(name) + " has no data_offsets");
  entry.begin = offsets[0];
  entry.end = offsets[1];
  if (entry.begin > entry.end || entry.end > data_bytes)
    return corrupt(quoted(name) + " lies beyond the end of the file");
  uint64_t bytes = 0;
  if (!data_bytes_of(entry, bytes) || bytes != entry.end - entry.begin)
    return corrupt(quoted(name) + " has " + std::to_string(entry.end - entry.begin) +
                   " bytes, which does not follow from " + shape_text(entry.shape) + " × " + dtype);
  return Status::ok();
}

Status parse_metadata(const Json& json, std::map<std::string, std::string>& metadata) {
  if (!json.is_object()) return corrupt("__metadata__ is no object");
  for (const auto& [name, value] : json.items())
    if (!read(&value, metadata[name])) return corrupt("__metadata__ holds more than text");
  return Status::ok();
}

// Entries by rising offset, without gap or overlap, to the end of data.
Status check_cover(const std::vector<SafetensorsEntry>& tensors, uint64_t data_bytes) {
  uint64_t next = 0;
  for (const SafetensorsEntry& entry : tensors) {
    if (entry.begin < next) return corrupt(quoted(entry.name) + " overlaps another tensor");
    if (entry.begin > next)
      return corrupt("nothing describes the bytes before " + quoted(entry.name));
    next = entry.end;
  }
  if (next != data_bytes) return corrupt("nothing describes the bytes behind the last tensor");
  return Status::ok();
}

}  // namespace

const SafetensorsEntry* SafetensorsHeader::find(const std::string& name) const {
  const auto at = std::find_if(tensors.begin(), tensors.end(),
                               [&](const SafetensorsEntry& entry) { return entry.name == name; });
  return at == tensors.end() ? nullptr : &*at;
}

const char* safetensors_dtype(Dtype dtype) {
  for (const auto& [each, name] : kDtypes)
    if (each == dtype) return name;
  return nullptr;
}

bool element_count(std::span<const uint64_t> shape, uint64_t& count) {
  count = 1;
  return std::all_of(shape.begin(), shape.end(),
                     [&](uint64_t size) { return !__builtin_mul_overflow(count, size, &count); });
}

std::string shape_text(std::span<const uint64_t> shape) {
  std::string text;
  for (const uint64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

Result<std::string> write_safetensors_header(const SafetensorsHeader& header) {
  const auto refused = [](const SafetensorsEntry& entry, const char* why) {
    return Status(Code::kArgument, quoted(entry.name) + ": " + why);
  };
  Json json = Json::object();
  uint64_t next = 0;
  for (const SafetensorsEntry& entry : header.tensors) {
    const char* dtype = safetensors_dtype(entry.dtype);
    uint64_t bytes = 0;
    if (dtype == nullptr) return refused(entry, "its dtype is unknown");
    if (entry.name.empty() || entry.name == kMetadata)
      return refused(entry, "the name is reserved");
    if (!is_text(entry.name)) return refused(entry, "the name is no UTF-8");
    if (json.contains(entry.name)) return refused(entry, "the name is taken");
    if (!data_bytes_of(entry, bytes) || entry.begin != next || entry.end - entry.begin != bytes)
      return refused(entry, "its offsets do not follow from its shape");
    json[entry.name] = {
        {"dtype", dtype}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
    next = entry.end;
  }
  for (const auto& [name, value] : header.metadata) {
    if (!is_text(name) || !is_text(value)) return Status(Code::kArgument, "metadata is no UTF-8");
    json[kMetadata][name] = value;
  }
  std::string text = json_text(json);
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  if (text.size() > kMaxSafetensorsHeaderBytes)
    return Status(Code::kArgument, "the header of " + std::to_string(header.tensors.size()) +
                                       " tensors exceeds 100 MB");
  const uint64_t length = text.size();
  text.insert(0, kSafetensorsLengthBytes, '\0');
  std::memcpy(text.data(), &length, sizeof length);
  return text;
}

Result<uint64_t> safetensors_header_bytes(ConstBytes front, uint64_t file_bytes) {
  if (front.size() < kSafetensorsLengthBytes || file_bytes < kSafetensorsLengthBytes)
    return corrupt("the file is shorter than 8 bytes");
  const auto length = load<uint64_t>(front.data());
  if (length > kMaxSafetensorsHeaderBytes)
    return corrupt("a length of " + std::to_string(length) + " bytes is more than 100 MB");
  if (length > file_bytes - kSafetensorsLengthBytes)
    return corrupt("a length of " + std::to_string(length) +
                   " bytes goes beyond the end of the file");
  return length;
}

Result<SafetensorsHeader> parse_safetensors_header(ConstBytes header, uint64_t data_bytes) {
  const Json json = parse_json({reinterpret_cast<const char*>(header.data()), header.size()});
  if (!json.is_object()) return corrupt("it is no JSON object");
  SafetensorsHeader parsed;
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadata) {
      if (Status status = parse_metadata(value, parsed.metadata); !status) return status;
      continue;
    }
    SafetensorsEntry& entry = parsed.tensors.emplace_back();
    if (Status status = parse_entry(name, value, data_bytes, entry); !status) return status;
  }
  std::sort(parsed.tensors.begin(), parsed.tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  if (Status status = check_cover(parsed.tensors, data_bytes); !status) return status;
  return parsed;
}

}  // namespace rhz::recovery
