// The table of tensors and the messages of the vault, read as if an enemy had written them.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/vault_kit.h"

namespace rhz::test {
namespace {

StateTable two_tensors() {
  StateTable table;
  table.entries.push_back({"bias", kByte, 10, 0, 10, 0, 0, 10, {digest128({})}});
  table.entries.push_back({"weight", 11, 100, 25, 25, 1, 64, 100, {}});
  return table;
}

constexpr uint64_t kPieces[] = {10, 164};

TEST(VaultTable, ReadsWhatItWrote) {
  const StateTable table = two_tensors();
  const auto bytes = table.serialise();
  EXPECT_EQ(bytes.size(), table_bytes(table));
  auto parsed = StateTable::parse(bytes, kPieces);
  ASSERT_TRUE(parsed) << parsed.status().text();
  EXPECT_EQ(parsed.value(), table);
}

TEST(VaultTable, RefusesEveryDamagedByteAndEveryLength) {
  const auto bytes = two_tensors().serialise();
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto bad = bytes;
    bad[i] ^= std::byte{1};
    EXPECT_EQ(StateTable::parse(bad, kPieces).status().code(), Code::kCorrupt) << "byte " << i;
    EXPECT_EQ(StateTable::parse({bytes.data(), i}, kPieces).status().code(), Code::kCorrupt)
        << "length " << i;
  }
}

// With a digest that fits: somebody who means it.
void expect_refused(StateTable table, const char* part) {
  expect_status(StateTable::parse(table.serialise(), kPieces).status(), Code::kCorrupt, part);
}

TEST(VaultTable, RefusesTensorsThatLieWhereNoneCanBe) {
  auto with = [](auto change) {
    StateTable table = two_tensors();
    change(table.entries[1]);
    return table;
  };
  const char* const kPlace = "impossible size or place";
  expect_refused(with([](TableEntry& e) { e.offset = 65; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.offset = UINT64_MAX - 10; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.bytes = UINT64_MAX - 63; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.piece = 2; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.first = 76; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.first = UINT64_MAX; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.count = 0; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.count_elems = 0; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.count = 33; }), kPlace);
  expect_refused(with([](TableEntry& e) { e.blocks.resize(2); }), kPlace);
  expect_refused(with([](TableEntry& e) { e.name = "bias"; }), "do not rise");
  expect_refused(with([](TableEntry& e) { e.name.clear(); }), "impossible length");
  expect_refused(with([](TableEntry& e) { e.name = std::string(128, 'x'); }), "impossible length");
}

TEST(VaultTable, NamesTheFirstTensorThatIsAnother) {
  const StateTable table = two_tensors();
  std::vector<Tensor> tensors = {{"bias", kByte, 10, nullptr, 10},
                                 {"weight", 11, 100, nullptr, 400}};
  EXPECT_TRUE(table.matches(tensors)) << table.matches(tensors).text();
  tensors[1].count_elems = 99;
  expect_status(table.matches(tensors), Code::kMismatch,
                "\"weight\" is kept with another dtype or count: 100");
  tensors[1] = {"wait", 11, 100, nullptr, 400};
  expect_status(table.matches(tensors), Code::kMismatch,
                "\"wait\" is asked for, \"weight\" is kept");
  tensors.pop_back();
  expect_status(table.matches(tensors), Code::kMismatch, "1 tensors are asked for, 2 are kept");
}

TEST(VaultMessages, AreReadAsTheyWereWritten) {
  VaultMessage message;
  message.kind = VaultKind::kBegin;
  message.run = 1;
  message.slot = Slot(2);
  message.pieces = 3;
  message.snapshot = {4, 5, 6, 7, 8};
  message.pid = 9;
  message.status = Code::kMemory;
  message.flags = 10;
  message.text = "why";
  const auto bytes = message.encode();
  EXPECT_EQ(bytes.size(), kVaultMessageBytes + 3);
  auto read = VaultMessage::decode(bytes);
  ASSERT_TRUE(read) << read.status().text();
  EXPECT_EQ(read.value().encode(), bytes);
  EXPECT_EQ(read.value().snapshot, message.snapshot);
  EXPECT_EQ(read.value().text, "why");
}

TEST(VaultMessages, OfAnotherFormAreRefused) {
  VaultMessage message;
  message.text = "why";
  const auto good = message.encode();
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_EQ(VaultMessage::decode({good.data(), length}).status().code(), Code::kArgument)
        << length;
  auto with = [&](size_t at, uint16_t value) {
    auto bytes = good;
    store(bytes.data() + at, value);
    return VaultMessage::decode(bytes).status();
  };
  expect_status(with(0, 0), Code::kArgument, "magic");
  expect_status(with(4, 2), Code::kVersion, "version 1, the other side's of version 2");
  expect_status(with(6, 17), Code::kArgument, "kind");
  expect_status(with(20, kMaxPieces + 1), Code::kArgument, "too many pieces");
  expect_status(with(kVaultMessageBytes - 4, 4), Code::kArgument, "text");
}

TEST(VaultMessages, SurviveRandomBytes) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::byte> bytes = VaultMessage{}.encode();
    for (int flips = 0; flips < 4; ++flips)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    (void)VaultMessage::decode(bytes);
  }
}

}  // namespace
}  // namespace rhz::test
