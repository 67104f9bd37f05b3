// Headers of safetensors files and manifests of checkpoints: what is read from a disk that anybody may have written to.
#include "recovery/disk/checkpoint_manifest.h"
#include "recovery/disk/safetensors.h"
#include "tests/fuzz/fuzz.h"

namespace rhz::fuzz {
namespace {

using recovery::CheckpointManifest;

void header(ConstBytes input) {
  constexpr uint64_t kDataBytes[] = {0, 4, 8, 64, 1 << 20};
  for (const uint64_t bytes : kDataBytes) {
    const auto parsed = recovery::parse_safetensors_header(input, bytes);
    if (!parsed) continue;
    const auto written = recovery::write_safetensors_header(parsed.value());
    if (!written) continue;  // names that only a reader has to bear
    const std::string& text = written.value();
    const ConstBytes again(reinterpret_cast<const std::byte*>(text.data()), text.size());
    const auto length = recovery::safetensors_header_bytes(again, text.size() + bytes);
    RHZ_FUZZ_CHECK(length && length.value() + recovery::kSafetensorsLengthBytes == text.size());
    const auto reread = recovery::parse_safetensors_header(again.subspan(recovery::kSafetensorsLengthBytes), bytes);
    RHZ_FUZZ_CHECK(reread && reread.value() == parsed.value());
  }
}

void manifest(std::string_view text) {
  for (const bool whole : {true, false}) {
    const auto parsed = whole ? CheckpointManifest::parse(text) : CheckpointManifest::parse_part(text);
    if (!parsed) continue;
    const auto again = CheckpointManifest::parse_part(parsed.value().serialise());
    RHZ_FUZZ_CHECK(again && again.value() == parsed.value());
  }
}

}  // namespace

std::vector<Bytes> seeds() {
  CheckpointManifest one;
  one.run_id = "run";
  one.revision = 7;
  one.files.push_back({"a.safetensors", 100, {{}}});
  one.tensors.push_back({"w", reduce::Dtype::f32, {2, 3}, {{"a.safetensors", 0, 6}}});
  return {bytes_from(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
          bytes_from(R"({"__metadata__":{"a":"b"},"w":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"v":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}   )"),
          bytes_from(one.serialise())};
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhz::fuzz;
  const rhz::ConstBytes input(reinterpret_cast<const std::byte*>(data), size);
  header(input);
  if (size >= 8) (void)rhz::recovery::safetensors_header_bytes(input, size);
  manifest({reinterpret_cast<const char*>(data), size});
  return 0;
}
