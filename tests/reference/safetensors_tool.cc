// This library's side of the comparison: write FOLDER (ours.safetensors), list FILE.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "recovery/disk/file.h"
#include "recovery/disk/file_writer.h"
#include "recovery/disk/safetensors.h"

namespace rhz::recovery {
namespace {

int complain(const Status& status) {
  std::fprintf(stderr, "safetensors_tool: %s\n", status.text().c_str());
  return 1;
}

int write_file(const std::string& folder) {
  std::vector<std::vector<std::byte>> memory;
  std::vector<TensorSlice> slices;
  for (uint32_t i = 1; i <= reduce::kDtypes; ++i) {
    const auto dtype = static_cast<reduce::Dtype>(i);
    auto& bytes = memory.emplace_back(reduce::size_of(dtype) * 15);
    for (size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<std::byte>(at + i);
    slices.push_back(
        {std::string("our ") + reduce::name(dtype) + " ö \"quoted\"", dtype, {3, 5}, 0, 15, {}});
  }
  for (size_t i = 0; i < slices.size(); ++i) slices[i].bytes = memory[i];
  slices.push_back({"scalar", reduce::Dtype::u8, {}, 0, 1, ConstBytes(memory[0]).first(1)});
  slices.push_back({"part", reduce::Dtype::i8, {4, 4}, 2, 9, ConstBytes(memory[0]).first(9)});
  auto writer = FileWriter::make(folder, "ours.safetensors", slices, {{"made by", "us"}});
  if (!writer) return complain(writer.status());
  while (!writer.value().step(1 << 20)) continue;
  return writer.value().status() ? 0 : complain(writer.value().status());
}

Result<std::vector<std::byte>> read_file(const std::string& path) {
  const Result<File> file = File::open(path);
  if (!file) return file.status();
  const Result<uint64_t> size = file.value().size();
  if (!size) return size.status();
  std::vector<std::byte> content(size.value());
  if (Status status = file.value().read(content, 0); !status) return status;
  return content;
}

int list_file(const std::string& path) {
  const auto content = read_file(path);
  if (!content) return complain(content.status());
  const ConstBytes bytes(content.value());
  const auto length = safetensors_header_bytes(bytes, bytes.size());
  if (!length) return complain(length.status());
  const ConstBytes header = bytes.subspan(kSafetensorsLengthBytes, length.value());
  const ConstBytes data = bytes.subspan(kSafetensorsLengthBytes + length.value());
  const auto parsed = parse_safetensors_header(header, data.size());
  if (!parsed) return complain(parsed.status());
  std::map<std::string, const SafetensorsEntry*> by_name;
  for (const SafetensorsEntry& entry : parsed.value().tensors) by_name[entry.name] = &entry;
  for (const auto& [name, entry] : by_name) {
    std::printf("%s %s %s ", name.c_str(), safetensors_dtype(entry->dtype),
                shape_text(entry->shape).c_str());
    for (const std::byte byte : data.subspan(entry->begin, entry->end - entry->begin))
      std::printf("%02x", static_cast<unsigned>(byte));
    std::printf("\n");
  }
  return 0;
}

}  // namespace
}  // namespace rhz::recovery

int main(int argc, char** argv) {
  const std::string command = argc == 3 ? argv[1] : "";
  if (command == "write") return rhz::recovery::write_file(argv[2]);
  if (command == "list") return rhz::recovery::list_file(argv[2]);
  std::fprintf(stderr, "usage: safetensors_tool write FOLDER | list FILE\n");
  return 2;
}
