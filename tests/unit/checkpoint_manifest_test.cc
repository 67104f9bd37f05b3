#include "recovery/disk/checkpoint_manifest.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

using Json = nlohmann::json;

CheckpointManifest manifest() {
  CheckpointManifest manifest{"run ä", 42, digest128({}), {}, {}};
  manifest.files = {{"a.safetensors", 300000, {digest128({}), Digest{}}},
                    {"b.safetensors", 5, {Digest{1}}}};
  manifest.tensors = {
      {"w", reduce::Dtype::f16, {3, 4}, {{"b.safetensors", 5, 7}, {"a.safetensors", 0, 5}}},
      {"n", reduce::Dtype::u64, {}, {{"a.safetensors", 0, 1}}}};
  EXPECT_TRUE(manifest.settle());
  return manifest;
}

// The error of a manifest that was changed by somebody who knows how to make its digest.
Status changed(const std::function<void(Json&)>& change) {
  Json json = Json::parse(manifest().serialise());
  change(json);
  json.erase("digest");
  const std::string text = json.dump();
  json["digest"] = to_hex(digest128(bytes_of(text.data(), text.size())));
  return CheckpointManifest::parse(json.dump()).status();
}

TEST(CheckpointManifest, ReadsBackWhatItWrote) {
  EXPECT_EQ(CheckpointManifest::parse(manifest().serialise()).value(), manifest());
  EXPECT_TRUE(changed([](Json&) {}));
  EXPECT_TRUE(changed([](Json& json) { json["later"] = "versions may add fields"; }));
}

TEST(CheckpointManifest, NoticesEveryChangedByte) {
  const std::string text = manifest().serialise();
  for (size_t at = 0; at < text.size(); ++at) {
    std::string damaged = text;
    damaged[at] = damaged[at] == '7' ? '8' : '7';
    EXPECT_EQ(CheckpointManifest::parse(damaged).status().code(), Code::kCorrupt) << at;
    EXPECT_EQ(CheckpointManifest::parse(text.substr(0, at)).status().code(), Code::kCorrupt) << at;
  }
}

TEST(CheckpointManifest, RefusesWhatIsNone) {
  for (const char* text : {"", "{}", "[]", "null", "{\"format\":\"other\"}"})
    EXPECT_EQ(CheckpointManifest::parse(text).status().text(),
              "manifest: it is no manifest of a checkpoint");
  EXPECT_EQ(changed([](Json& json) { json["version"] = 2; }).text(),
            "manifest: its format is of another version than 1");
  // Millions of values in each other.
  EXPECT_FALSE(CheckpointManifest::parse("{\"format\":" + std::string(4 << 20, '[')));
}

TEST(CheckpointManifest, RefusesFieldsThatCannotBe) {
  const std::function<void(Json&)> changes[] = {
      [](Json& json) { json.erase("run_id"); },
      [](Json& json) { json["revision"] = -1; },
      [](Json& json) { json["root"] = "12"; },
      [](Json& json) { json["root"] = std::string(32, 'x'); },
      [](Json& json) { json["files"] = 1; },
      [](Json& json) { json["files"][0]["name"] = "../secret"; },
      [](Json& json) { json["files"][0]["name"] = ".."; },
      [](Json& json) { json["files"][0]["name"] = ""; },
      [](Json& json) { json["files"][0]["bytes"] = 600000; },
      [](Json& json) { json["files"][0]["blocks"] = "00"; },
      [](Json& json) { json["tensors"][0]["dtype"] = 99; },
      [](Json& json) { json["tensors"][0]["dtype"] = uint64_t{1} << 32 | 1; },
      [](Json& json) { json["tensors"][0]["shape"] = "3"; },
      [](Json& json) { json["tensors"][0]["slices"][0] = Json::array(); }};
  for (const auto& change : changes) {
    const Status status = changed(change);
    EXPECT_EQ(status.code(), Code::kCorrupt);
    EXPECT_EQ(status.text(), "manifest: a field is missing or has another type than it should");
  }
}

TEST(CheckpointManifest, RefusesTensorsThatAreNotWhole) {
  const auto text = [](const std::function<void(Json&)>& change) {  // of tensor "w"
    const Status status = changed([&](Json& json) { change(json["tensors"][1]); });
    EXPECT_EQ(status.code(), Code::kCorrupt);
    return status.text();
  };
  EXPECT_EQ(text([](Json& w) { w["slices"].erase(1); }),
            "manifest: tensor \"w\" lacks its elements from 5 on");
  EXPECT_EQ(text([](Json& w) { w["slices"].erase(0); }),
            "manifest: tensor \"w\" lacks its elements from 0 on");
  EXPECT_EQ(text([](Json& w) { w["slices"][0]["count"] = 6; }),
            "manifest: tensor \"w\" has slices that overlap at element 5");
  EXPECT_EQ(text([](Json& w) { w["slices"][1]["count"] = UINT64_MAX; }),
            "manifest: tensor \"w\" has slices that go beyond its end");
  EXPECT_EQ(text([](Json& w) { w["slices"][1]["file"] = "c.safetensors"; }),
            "manifest: tensor \"w\" has a slice in no file of the checkpoint");
  EXPECT_EQ(text([](Json& w) {
              w["shape"] = {UINT64_MAX, 3};
            }),
            "manifest: tensor \"w\" has an impossible shape");
  EXPECT_EQ(text([](Json& w) { w["name"] = "n"; }), "manifest: tensor \"n\" is there twice");
}

}  // namespace
}  // namespace rhz::recovery
