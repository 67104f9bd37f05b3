#include <gtest/gtest.h>

#include <string>

#include "runtime/base/crc32c.h"
#include "runtime/wire/frame.h"

namespace rhz::wire {
namespace {

// The worked example of docs/wire.md: the second frame of an op's first chunk.
FrameHeader example() {
  FrameHeader header;
  header.kind = Kind::kPartial;
  header.flags = 0x0102;
  header.length = 262144;
  header.run = 0x1122334455667788;
  header.epoch = Epoch(3);
  header.op_seq = OpSeq(41);
  header.group = GroupId(1);
  header.chunk = ChunkIndex(5);
  header.segment = SegmentIndex(6);
  header.lane_seq = 1000;
  header.full_upto = 40;
  header.signature = 0xa1a2a3a4a5a6a7a8;
  for (size_t i = 0; i < header.tag.size(); ++i) header.tag[i] = std::byte(0xf0 + i);
  return header;
}

std::string hex(const HeaderBytes& bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    text += "0123456789abcdef"[std::to_integer<int>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<int>(b) & 15];
  }
  return text;
}

void seal(HeaderBytes& bytes) {
  store(bytes.data() + 8, uint32_t{0});
  store(bytes.data() + 8, crc32c(bytes));
}

TEST(Frame, ComesBackAsItWasSent) {
  HeaderBytes bytes;
  for (uint8_t kind = 1; kind <= kLastKind; ++kind) {
    FrameHeader header = example();
    header.kind = static_cast<Kind>(kind);
    if (header.kind == Kind::kVoid) header.length = 0;
    encode_header(header, bytes.data());
    const auto decoded = decode_header(bytes.data());
    ASSERT_TRUE(decoded.is_ok()) << decoded.status().text();
    EXPECT_EQ(decoded.value(), header);
  }
}

TEST(Frame, HasTheBytesOfTheWorkedExample) {
  HeaderBytes bytes;
  encode_header(example(), bytes.data());
  EXPECT_EQ(hex(bytes),
            "52485a31"
            "03"
            "03"
            "0201"
            "af8f01db"
            "00000400"
            "8877665544332211"
            "0300000000000000"
            "2900000000000000"
            "0100000000000000"
            "05000000"
            "06000000"
            "e803000000000000"
            "2800000000000000"
            "a8a7a6a5a4a3a2a1"
            "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
}

TEST(Frame, RefusesEverySingleFlippedBit) {
  HeaderBytes good;
  encode_header(example(), good.data());
  for (size_t bit = 0; bit < kHeaderBytes * 8; ++bit) {
    HeaderBytes bad = good;
    bad[bit / 8] ^= std::byte(1u << (bit % 8));
    EXPECT_FALSE(decode_header(bad.data()).is_ok()) << "bit " << bit;
  }
}

TEST(Frame, SaysWhyItRefuses) {
  HeaderBytes bytes;
  encode_header(example(), bytes.data());
  bytes[0] = std::byte('X');
  EXPECT_EQ(decode_header(bytes.data()).status(), Status(Code::kArgument, "not a rhizome frame"));

  encode_header(example(), bytes.data());
  bytes[4] = std::byte(9);
  const Status version = decode_header(bytes.data()).status();
  EXPECT_EQ(version.code(), Code::kVersion);
  EXPECT_NE(version.text().find("version 9"), std::string::npos);
  EXPECT_NE(version.text().find("version 3"), std::string::npos);

  for (const uint8_t kind : {uint8_t{0}, uint8_t{kLastKind + 1}, uint8_t{255}}) {
    encode_header(example(), bytes.data());
    bytes[5] = std::byte(kind);
    seal(bytes);
    EXPECT_EQ(decode_header(bytes.data()).status().code(), Code::kArgument);
  }
}

TEST(Frame, RefusesALengthBeyondTheLimitOfItsKind) {
  HeaderBytes bytes;
  FrameHeader header = example();
  header.length = kMaxDataBytes;
  encode_header(header, bytes.data());
  EXPECT_TRUE(decode_header(bytes.data()).is_ok());
  for (const uint32_t length : {kMaxDataBytes + 1, 1u << 30, 0xffffffffu}) {
    header.length = length;
    encode_header(header, bytes.data());
    EXPECT_EQ(decode_header(bytes.data()).status().code(), Code::kArgument);
  }
  header.kind = Kind::kVoid;
  header.length = 1;
  encode_header(header, bytes.data());
  EXPECT_EQ(decode_header(bytes.data()).status().code(), Code::kArgument);
}

TEST(Frame, HashesRunIdsAsItAlwaysDid) {
  EXPECT_EQ(run_hash("run-1"), 0x9ccf6179fa6aacd7ull);
  EXPECT_NE(run_hash("run-1"), run_hash("run-2"));
}

}  // namespace
}  // namespace rhz::wire
