#include "recovery/disk/safetensors.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rhz::recovery {
namespace {

using reduce::Dtype;

SafetensorsHeader two_tensors() {
  SafetensorsHeader header;
  header.metadata = {{"run", "a"}};
  header.tensors = {{"w", Dtype::f32, {2, 3}, 0, 24}, {"step", Dtype::u64, {}, 24, 32}};
  return header;
}

Result<SafetensorsHeader> parse(const std::string& json, uint64_t data_bytes) {
  return parse_safetensors_header(bytes_of(json.data(), json.size()), data_bytes);
}

void expect_corrupt(const std::string& json, uint64_t data_bytes, const std::string& why) {
  const Status status = parse(json, data_bytes).status();
  EXPECT_EQ(status.code(), Code::kCorrupt) << json;
  EXPECT_EQ(status.text(), "safetensors header: " + why);
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const std::string text = write_safetensors_header(two_tensors()).value();
  EXPECT_EQ(text.size() % 8, 0u);
  const ConstBytes bytes = bytes_of(text.data(), text.size());
  EXPECT_EQ(safetensors_header_bytes(bytes, text.size() + 32).value(), text.size() - 8);
  EXPECT_EQ(parse_safetensors_header(bytes.subspan(8), 32).value(), two_tensors());
}

TEST(Safetensors, WritesTheBytesOfTheFormat) {
  SafetensorsHeader header;
  header.tensors = {{"x", Dtype::bf16, {4}, 0, 8}};
  const std::string text = write_safetensors_header(header).value();
  EXPECT_EQ(text.substr(8), "{\"x\":{\"data_offsets\":[0,8],\"dtype\":\"BF16\",\"shape\":[4]}} ");
  EXPECT_EQ(text.substr(0, 8), std::string("\x38\0\0\0\0\0\0\0", 8));
}

TEST(Safetensors, KnowsEveryDtype) {
  const char* names[] = {"I8",  "U8",  "I16", "U16",  "I32", "U32",
                         "I64", "U64", "F16", "BF16", "F32", "F64"};
  for (uint32_t i = 1; i <= reduce::kDtypes; ++i)
    EXPECT_STREQ(safetensors_dtype(static_cast<Dtype>(i)), names[i - 1]);
}

TEST(Safetensors, RefusesLengthsThatCannotBe) {
  const auto status = [](uint64_t length, uint64_t file_bytes) {
    return safetensors_header_bytes(bytes_of(&length, sizeof length), file_bytes).status();
  };
  EXPECT_TRUE(status(92, 100));
  EXPECT_EQ(status(93, 100).text(),
            "safetensors header: a length of 93 bytes goes beyond the end of the file");
  EXPECT_EQ(status(UINT64_MAX, UINT64_MAX).code(), Code::kCorrupt);
  EXPECT_EQ(safetensors_header_bytes({}, 7).status().text(),
            "safetensors header: the file is shorter than 8 bytes");
}

TEST(Safetensors, RefusesHeadersThatCannotBe) {
  const std::string w = R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  EXPECT_TRUE(parse("{" + w + "}", 8));
  EXPECT_TRUE(parse("{}", 0));
  expect_corrupt("{" + w, 8, "it is no JSON object");
  expect_corrupt("[1]", 0, "it is no JSON object");
  expect_corrupt("", 0, "it is no JSON object");
  expect_corrupt("{\"w\":1}", 0, "tensor \"w\" has no dtype");
  expect_corrupt(R"({"w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", 8,
                 "tensor \"w\" has the dtype \"F8_E4M3\", which is unknown here");
  expect_corrupt(R"({"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8,
                 "tensor \"w\" has no shape");
  expect_corrupt(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8,
                 "tensor \"w\" has no data_offsets");
  expect_corrupt(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8,
                 "tensor \"w\" lies beyond the end of the file");
  expect_corrupt("{" + w + "}", 7, "tensor \"w\" lies beyond the end of the file");
  expect_corrupt(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8,
                 "tensor \"w\" has 8 bytes, which does not follow from [3] × F32");
  expect_corrupt(
      R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 8,
      "tensor \"w\" has 0 bytes, which does not follow from [4294967296, 4294967296] × F32");
  expect_corrupt("{" + w + "}", 9, "nothing describes the bytes behind the last tensor");
  expect_corrupt("{" + w + R"(,"v":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", 8,
                 "tensor \"v\" overlaps another tensor");
  expect_corrupt("{" + w + R"(,"v":{"dtype":"U8","shape":[1],"data_offsets":[9,10]}})", 10,
                 "nothing describes the bytes before tensor \"v\"");
  expect_corrupt(R"({"__metadata__":{"a":1}})", 0, "__metadata__ holds more than text");
  expect_corrupt(R"({"__metadata__":[]})", 0, "__metadata__ is no object");
}

TEST(Safetensors, RefusesAnyBytesWithoutHarm) {
  const std::string text = write_safetensors_header(two_tensors()).value().substr(8);
  for (size_t at = 0; at < text.size(); ++at) {
    for (const char change : {'\0', '"', '{', '9', '\xff', '-', 'e'}) {
      std::string changed = text;
      changed[at] = change;
      (void)parse(changed, 32);
      (void)parse(changed.substr(0, at), 32);
    }
  }
  EXPECT_FALSE(parse(std::string(100000, '['), 0));
}

TEST(Safetensors, DoesNotWriteWhatItWouldRefuse) {
  const auto refused = [](SafetensorsEntry entry) {
    SafetensorsHeader header = two_tensors();
    header.tensors.push_back(std::move(entry));
    return write_safetensors_header(header).status().text();
  };
  EXPECT_EQ(refused({"w", Dtype::u8, {1}, 32, 33}), "tensor \"w\": the name is taken");
  EXPECT_EQ(refused({"", Dtype::u8, {1}, 32, 33}), "tensor \"\": the name is reserved");
  EXPECT_EQ(refused({"__metadata__", Dtype::u8, {1}, 32, 33}),
            "tensor \"__metadata__\": the name is reserved");
  EXPECT_EQ(refused({"\xff", Dtype::u8, {1}, 32, 33}), "tensor \"\xff\": the name is no UTF-8");
  EXPECT_EQ(refused({"v", Dtype::u8, {1}, 33, 34}),
            "tensor \"v\": its offsets do not follow from its shape");
  EXPECT_EQ(refused({"v", Dtype::u8, {2}, 32, 33}),
            "tensor \"v\": its offsets do not follow from its shape");
}

}  // namespace
}  // namespace rhz::recovery
