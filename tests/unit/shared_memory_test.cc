// Memory that peers may map, and what a transport makes of it.
#include "runtime/memory/shared_memory.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "runtime/memory/copy.h"
#include "tests/unit/transport_test_kit.h"

namespace rhz::test {
namespace {

TEST(SharedMemory, GivesOutPagesOfZeros) {
  SharedMemory memory;
  std::byte* const first = memory.allocate(1).value();
  std::byte* const second = memory.allocate(100000).value();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 4096, 0u);
  EXPECT_EQ(second[99999], std::byte{0});
  std::memset(second, 1, 100000);
  EXPECT_TRUE(memory.free(first));
  EXPECT_FALSE(memory.free(first));
  EXPECT_FALSE(memory.free(second + 4096));
  EXPECT_TRUE(memory.free(second));
  EXPECT_EQ(memory.allocate(0).status().code(), Code::kArgument);
  EXPECT_EQ(memory.allocate(SIZE_MAX).status().code(), Code::kMemory);
}

TEST(CopyPastCaches, CopiesEverySizeFromAndToEveryAlignment) {
  constexpr size_t kRoom = 512;
  const auto from = random_bytes(kRoom, 1), before = random_bytes(kRoom, 2);
  for (size_t at = 0; at < 65; ++at) {
    for (const size_t size : {0, 1, 15, 63, 64, 65, 127, 128, 200, 300}) {
      std::vector<std::byte> to = before;
      copy_past_caches(to.data() + at, from.data() + 2 * at, size);
      EXPECT_EQ(std::memcmp(to.data() + at, from.data() + 2 * at, size), 0);
      EXPECT_EQ(std::memcmp(to.data(), before.data(), at), 0);
      EXPECT_EQ(std::memcmp(to.data() + at + size, before.data() + at + size, kRoom - at - size), 0);
    }
  }
}

TEST(SharedMemory, FindsTheBlockThatHoldsAllOfTheBytes) {
  SharedMemory memory;
  std::byte* const block = memory.allocate(8192).value();
  std::byte outside{};
  EXPECT_EQ(memory.find(block, 8192)->begin(), block);
  EXPECT_NE(memory.find(block + 8191, 1), nullptr);
  EXPECT_EQ(memory.find(block + 8191, 2), nullptr);
  EXPECT_EQ(memory.find(block - 1, 2), nullptr);
  EXPECT_EQ(memory.find(block + 8192, 0), nullptr);
  EXPECT_EQ(memory.find(&outside, 1), nullptr);
}

// Frames of three blocks, back and forth between them.
void send_from_blocks(Stage& stage, Node& a, Node& b) {
  constexpr size_t kSize = size_t{1} << 20;
  std::byte* blocks[3];
  const auto bytes = random_bytes(kSize, 1);
  for (auto& block : blocks) {
    block = a.memory.allocate(kSize).value();
    std::memcpy(block, bytes.data(), kSize);
  }
  for (uint64_t i = 0; i < 60; ++i)
    a.send(b.id, LaneClass::kBulk, i, {blocks[i % 3] + i * 100, kSize - i * 1000});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 60; }));
  for (uint64_t i = 0; i < 60; ++i) {
    EXPECT_EQ(b.received[i].header.op_seq, OpSeq(i));
    ASSERT_TRUE(equal(b.received[i].bytes, {bytes.data() + i * 100, kSize - i * 1000}));
  }
}

TEST(SharedMemory, IsLookedAtByPeersOfThisHost) {
  Stage stage(Carrier::kAuto);
  Node& a = stage.add();
  Node& b = stage.add();
  b.looks = true;
  stage.introduce();
  send_from_blocks(stage, a, b);
  EXPECT_EQ(b.looked_at, 60u);
}

TEST(SharedMemory, IsCopiedFromForWhoDoesNotOnlyLook) {
  Stage stage(Carrier::kShm);
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  send_from_blocks(stage, a, b);
  EXPECT_EQ(b.looked_at, 0u);
}

TEST(SharedMemory, TravelsOverTcpLikeAnyOther) {
  Stage stage(Carrier::kTcp);
  Node& a = stage.add();
  Node& b = stage.add();
  b.looks = true;
  stage.introduce();
  send_from_blocks(stage, a, b);
  EXPECT_EQ(b.looked_at, 0u);
}

TEST(SharedMemory, OfAFreedBlockIsUsedAnew) {
  Stage stage(Carrier::kShm);
  Node& a = stage.add();
  Node& b = stage.add();
  b.looks = true;
  stage.introduce();
  for (uint64_t i = 0; i < 1100; ++i) {  // more than one connection can name: the others are read
    std::byte* const block = a.memory.allocate(20000).value();
    std::memset(block, static_cast<int>(i % 255 + 1), 20000);
    a.send(b.id, LaneClass::kBulk, i, {block, 20000});
    ASSERT_TRUE(stage.until([&] { return b.received.size() == i + 1; }));
    ASSERT_EQ(b.received[i].bytes[19999], std::byte(i % 255 + 1));
    b.received[i].bytes.clear();
    ASSERT_TRUE(a.memory.free(block));
  }
  EXPECT_EQ(b.looked_at, SharedMemory::kMaxBlocks);
}

size_t mappings_of_memfds() {
  std::FILE* const maps = std::fopen("/proc/self/maps", "re");
  size_t count = 0;
  char line[512];
  while (maps && std::fgets(line, sizeof line, maps))
    count += std::strstr(line, "/memfd:rhizome") != nullptr;
  if (maps) std::fclose(maps);
  return count;
}

TEST(SharedMemory, IsLetGoOfByPeersOnceItIsFreed) {
  Stage stage(Carrier::kShm);
  Node& a = stage.add();
  Node& b = stage.add();
  b.looks = true;
  stage.introduce();
  a.send(b.id, LaneClass::kBulk, 0, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }));
  const size_t before = mappings_of_memfds();
  std::byte* const block = a.memory.allocate(100000).value();
  a.send(b.id, LaneClass::kBulk, 1, {block, 100000});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 2; }));
  EXPECT_EQ(mappings_of_memfds(), before + 2);
  ASSERT_TRUE(a.memory.free(block));
  EXPECT_TRUE(stage.until([&] { return mappings_of_memfds() == before; }, milliseconds(2000)));
}

// The sender takes back what the receiver is looking at.
TEST(SharedMemory, ThatIsTakenBackMeanwhileDoesNotCount) {
  Stage stage(Carrier::kShm);
  Node& a = stage.add();
  Node& b = stage.add();
  b.looks = true;
  stage.introduce();
  std::byte* const block = a.memory.allocate(100000).value();
  a.send(b.id, LaneClass::kBulk, 1, {block, 100000});
  Landing landing;
  std::atomic<uint64_t> word{7};
  landing.word = &word;
  landing.number = 7;
  EXPECT_TRUE(landing.still_there());
  word = 0;
  EXPECT_FALSE(landing.still_there());
  a.transport->release_op(kRootGroup, OpSeq(1));
  a.send(b.id, LaneClass::kBulk, 2, {block, 100});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }));
  EXPECT_EQ(b.received[0].header.op_seq, OpSeq(2));
}

}  // namespace
}  // namespace rhz::test
