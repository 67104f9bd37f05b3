// Every message and record through the bytes and back, and bytes that nobody has written.
#include "runtime/wire/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>

#include "runtime/base/prng.h"
#include "runtime/wire/frame.h"

namespace rhz::wire {
namespace {

// ---- examples: no field has its default, no two fields of a struct are equal

Digest digest(uint8_t first) {
  Digest d;
  for (size_t i = 0; i < d.size(); ++i) d[i] = static_cast<uint8_t>(first + i);
  return d;
}

Status status(Code code) {
  Status s(code, "peer in slot 2 lost (refused), “quoted”");
  s.culprit = {0x0123456789abcdef, 0xfedcba9876543210};
  s.epoch = Epoch(41);
  return s;
}

MemberInfo member(uint32_t n) {
  return {{100 + n, 200 + n}, Slot(n), 0xa0a0a0a0a0a0a0a0 + n, {"10.0.0.1:7400", "[fe80::1]:99"}};
}

RunConfig config() { return {"run-α", 4, 8, 2, 1u << 20, 1u << 18, 1u << 17, 150, 1500, Verify::kAll, false}; }

View view() { return {Epoch(7), {member(0), member(3), member(5)}, "joined: slot 5"}; }

std::vector<OpDecision> decisions() {
  return {
      {OpSeq(10), OpDecision::Outcome::kFinal, {}, {}},
      {OpSeq(11), OpDecision::Outcome::kAbort, status(Code::kMismatch), {}},
      {OpSeq(12),
       OpDecision::Outcome::kChunks,
       {},
       {{0, 5, Epoch(6), {Rank(0), Rank(2)}}, {5, 3, Epoch(0), {}}}},
  };
}

Resolution resolution() {
  GroupResolution root{kRootGroup,
                       {Rank(2), Rank(0), Rank(1)},
                       {OpSeq(0), OpSeq(4), OpSeq(1ull << 40)},
                       kNoOp,
                       decisions(),
                       {{{1, 2}, OpSeq(11)}, {{3, 4}, OpSeq(12)}},
                       true};
  GroupResolution other{GroupId(9), {Rank(1)}, {OpSeq(3)}, OpSeq(17), {}, {}};
  return {Epoch(7), {root, other}, {{Rank(0), Rank(2)}}};
}

SealReport report() {
  OpReport open;
  open.seq = OpSeq(12);
  open.begun = open.full = true;
  open.mode = RebuildMode::kKeep;
  open.blocks = {OpKind::kGather, Slot(2), {Slot(0), Slot(2)}};
  open.chunks = 8;
  open.signature = 0xdeadbeefcafef00d;
  open.held = {{0, 3, Epoch(5)}, {4, 2, Epoch(6), {Slot(1), Slot(7)}}};
  open.partials = {{3, 1, {Slot(0), Slot(7)}}, {6, 2, {Slot(2)}}};
  open.fail = status(Code::kTimeout);
  OpReport admit;
  admit.seq = OpSeq(13);
  admit.begun = admit.freed = admit.admit = true;
  admit.mode = RebuildMode::kInclude;
  admit.chunks = 1;
  admit.signature = 2;
  return {
      Epoch(8),
      {{kRootGroup, OpSeq(12), OpSeq(14), {open, admit}, {}}, {GroupId(1ull << 50), OpSeq(1), OpSeq(2), {}, {{1, 2}, {3, 4}}, true}}};
}

AdmitRecord admit() { return {OpSeq(33), {member(1), member(6)}, 77, digest(9), {member(2)}}; }

GenerationRecord generation(uint32_t stage) {
  return {stage, 1ull << 33, 5, digest(11), 1000, 2, 1, 512,
          {{{1, 2}, "host-α", "rack-1"}, {{3, 4}, "host-b", ""}, {{5, 6}, "c", "rack-2"}},
          {2, 1, 0}, {digest(20), digest(40), digest(60)}, {7, 3, 2}};
}

SnapshotRecord snapshot() {
  return {config(),     view(),           LogIndex(55),
          resolution(), {{9, 8}, {7, 6}}, {{Epoch(5), {{1, 1}, {2, 2}}}, {Epoch(6), {}}},
          {generation(1), generation(7)}};
}

std::vector<LogEntry> all_entries() {
  return {{Term(1), LogIndex(1), ConfigRecord{config()}},
          {Term(2), LogIndex(2), ViewRecord{view()}},
          {Term(3), LogIndex(3), ResolveRecord{resolution()}},
          {Term(4), LogIndex(4), admit()},
          {Term(1ull << 60), LogIndex(1ull << 61), snapshot()},
          {Term(6), LogIndex(7), generation(3)}};
}

PeerBeatMessage beat() {
  return {Epoch(3), 1000, 1ull << 40, 1ull << 41, {{"loss", 2.25}, {"größe", -INFINITY}}, 7, 1ull << 42, 9};
}

VaultInfo vault(uint32_t n) {
  return {{{40 + n, 50 + n}, "host-" + std::to_string(n), "räck"},
          {"10.0.0.2:7500", "[fe80::2]:98"},
          1000 + n,
          2000 + n};
}

std::vector<ControlMessage> all_messages() {
  StatusReply reply{Term(4),
                    config(),
                    view(),
                    true,
                    123456,
                    789,
                    LogIndex(99),
                    {{member(2), true, false, 250, beat()}, {member(4), false, true, 1, {}}},
                    {{Epoch(2), "peer in slot 1 lost", 5000, 4200}},
                    true,
                    {vault(4)}};
  return {HelloMessage{"run-α", member(3), LogIndex(12), Term(5),
                       {digest(1), {3, {{"bias", "4 × f32"}, {"größe", "1 × u8"}}}, SyncStrategy::kSendOnly, BulkStand::kPulling}},
          SuspectMessage{Epoch(7), {5, 6}, 3, true},
          SealedMessage{report()},
          FailMessage{Epoch(7), GroupId(2), OpSeq(19), status(Code::kCancelled)},
          AdmitBegunMessage{OpSeq(20), 21, digest(2), digest(3)},
          SyncedMessage{OpSeq(20), 21, digest(4), status(Code::kUnreachable)},
          beat(),
          LeaveMessage{},
          StatusRequest{"run-β", true},
          WelcomeMessage{Term(6), config()},
          RefusedMessage{Term(7), status(Code::kEvicted)},
          EntriesMessage{Term(8), all_entries()},
          PendingMessage{Term(9), 3, 2},
          SyncStartMessage{Term(10), admit(), {member(0), member(1)}},
          CoordinatorBeatMessage{Term(11)},
          reply,
          ProposeMessage{Epoch(12), generation(2)},
          GenerationsMessage{Term(13), {generation(0), generation(4)}},
          ProposalRefusedMessage{Term(14), 5, 6, 7, status(Code::kDiverged)},
          VaultHereMessage{"run-γ", vault(1)},
          VaultCallMessage{"run-δ", {31, 32}},
          VaultsMessage{Term(15), true, {vault(2), vault(3)}}};
}

void expect_refused(const Status& status, const std::string& part) {
  EXPECT_EQ(status.code(), Code::kArgument);
  EXPECT_NE(status.text().find(part), std::string::npos) << status.text();
}

// ---- there and back

TEST(Codec, ExamplesHaveEveryMessageAndEveryRecord) {
  const auto messages = all_messages();
  ASSERT_EQ(messages.size(), std::variant_size_v<ControlMessage>);
  for (size_t i = 0; i < messages.size(); ++i) EXPECT_EQ(messages[i].index(), i);
  const auto entries = all_entries();
  ASSERT_EQ(entries.size(), std::variant_size_v<Record>);
  for (size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(entries[i].record.index(), i);
}

TEST(Codec, EveryMessageComesBackEqual) {
  for (const ControlMessage& message : all_messages()) {
    const auto bytes = encode(message);
    ASSERT_FALSE(bytes.empty()) << message.index();
    const auto back = decode_message(bytes);
    ASSERT_TRUE(back) << message.index() << ": " << back.status().text();
    EXPECT_TRUE(back.value() == message) << message.index();
    EXPECT_EQ(encode(back.value()), bytes) << message.index();
  }
}

TEST(Codec, EveryRecordComesBackEqual) {
  for (const LogEntry& entry : all_entries()) {
    const auto back = decode_entry(encode(entry));
    ASSERT_TRUE(back) << back.status().text();
    EXPECT_TRUE(back.value() == entry) << entry.record.index();
  }
}

TEST(Codec, DefaultsComeBackEqual) {
  const std::vector<ControlMessage> messages = {
      HelloMessage{},      SuspectMessage{},   SealedMessage{},          FailMessage{},
      AdmitBegunMessage{}, SyncedMessage{},    PeerBeatMessage{},        LeaveMessage{},
      StatusRequest{},     WelcomeMessage{},   RefusedMessage{},         EntriesMessage{},
      PendingMessage{},    SyncStartMessage{}, CoordinatorBeatMessage{}, StatusReply{},
      ProposeMessage{},    GenerationsMessage{}, ProposalRefusedMessage{},
      VaultHereMessage{},  VaultCallMessage{}, VaultsMessage{}};
  for (const ControlMessage& message : messages) {
    const auto back = decode_message(encode(message));
    ASSERT_TRUE(back) << message.index() << ": " << back.status().text();
    EXPECT_TRUE(back.value() == message) << message.index();
  }
}

TEST(Codec, EveryStatusCodeComesBackAndOthersAreRefused) {
  int known = 0;
  for (int32_t code = -2; code < 600; ++code) {
    const ControlMessage message = RefusedMessage{Term(1), status(static_cast<Code>(code))};
    const auto back = decode_message(encode(message));
    const bool named = std::string(code_text(static_cast<Code>(code))) != "unknown status";
    EXPECT_EQ(static_cast<bool>(back), named) << code;
    if (!back) expect_refused(back.status(), "unknown status code " + std::to_string(code));
    known += named;
  }
  EXPECT_GT(known, 20);
}

TEST(Codec, UnalignedInputIsRead) {
  const auto bytes = encode(all_messages()[11]);
  for (size_t shift = 0; shift < 8; ++shift) {
    std::vector<std::byte> shifted(shift);
    shifted.insert(shifted.end(), bytes.begin(), bytes.end());
    EXPECT_TRUE(decode_message(ConstBytes(shifted).subspan(shift))) << shift;
  }
}

// ---- bounds

TEST(Codec, TextForPeopleIsCutBetweenCharacters) {
  std::string text(kMaxStringBytes - 1, 'x');
  text += "é and more";  // the cut would fall inside é
  const auto back = decode_message(encode(RefusedMessage{Term(1), Status(Code::kIo, text)}));
  ASSERT_TRUE(back) << back.status().text();
  EXPECT_EQ(std::get<RefusedMessage>(back.value()).status.text(),
            std::string(kMaxStringBytes - 1, 'x'));
}

TEST(Codec, AnIdThatIsTooLongIsNotEncoded) {
  EXPECT_FALSE(encode(ControlMessage(StatusRequest{std::string(kMaxStringBytes, 'r')})).empty());
  EXPECT_TRUE(encode(ControlMessage(StatusRequest{std::string(kMaxStringBytes + 1, 'r')})).empty());
}

TEST(Codec, ListsThatAreTooLongAreNotEncoded) {
  PeerBeatMessage too_many = beat();
  too_many.metrics.resize(kMaxMetrics + 1);
  EXPECT_TRUE(encode(ControlMessage(too_many)).empty());
  MemberInfo self = member(0);
  self.endpoints.resize(kMaxEndpoints + 1);
  EXPECT_TRUE(encode(ControlMessage(HelloMessage{"r", self, {}, {}, {}})).empty());
}

TEST(Codec, WhatIsLargerThanAFrameIsNotEncoded) {
  SnapshotRecord huge = snapshot();
  huge.history.assign(16, {Epoch(1), std::vector<PeerId>(kMaxPeers)});
  EXPECT_TRUE(encode(LogEntry{Term(1), LogIndex(1), huge}).empty());
  huge.history.resize(14);
  const LogEntry entry{Term(1), LogIndex(1), huge};
  const auto bytes = encode(entry);
  ASSERT_GT(bytes.size(), size_t{14} << 20);
  EXPECT_TRUE(decode_entry(bytes).value() == entry);
  // Any entry fits a message.
  const ControlMessage carrier = EntriesMessage{Term(1), {entry}};
  ASSERT_FALSE(encode(carrier).empty());
  EXPECT_TRUE(decode_message(encode(carrier)).value() == carrier);
}

TEST(Codec, OversizedInputIsRefusedUnread) {
  const std::vector<std::byte> zeros(kMaxControlBytes + 8);
  expect_refused(decode_message(zeros).status(), "more than 16777216");
  expect_refused(decode_entry(zeros).status(), "more than 15728640");
}

TEST(Codec, InputThatIsNoWholeNumberOfWordsIsRefused) {
  expect_refused(decode_message({}).status(), "0 bytes");
  const auto bytes = encode(ControlMessage(LeaveMessage{}));
  auto longer = bytes;
  longer.resize(bytes.size() + 3);
  expect_refused(decode_message(longer).status(), "multiple of 8");
  longer.resize(bytes.size() + 8);
  expect_refused(decode_message(longer).status(), "behind its end");
}

TEST(Codec, AGenerationOfTooManyShardsIsNotEncoded) {
  GenerationRecord big = generation(1);
  big.held_by.resize(kMaxGenerationShards);
  big.shards.resize(kMaxGenerationShards);
  const LogEntry entry{Term(1), LogIndex(1), big};
  EXPECT_TRUE(decode_entry(encode(entry)).value() == entry);
  big.shards.resize(kMaxGenerationShards + 1);
  EXPECT_TRUE(encode(LogEntry{Term(1), LogIndex(1), big}).empty());
}

// ---- bytes that encode() has not written, word by word

std::vector<std::byte> from_words(const std::vector<uint64_t>& words) {
  std::vector<std::byte> bytes(words.size() * 8);
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}
constexpr uint64_t segment_of(uint64_t words) { return words << 32; }
constexpr uint64_t struct_at(uint64_t offset, uint64_t data, uint64_t pointers) {
  return offset << 2 | data << 32 | pointers << 48;
}
constexpr uint64_t composite_list_at(uint64_t offset, uint64_t words) {
  return 1 | offset << 2 | uint64_t{7} << 32 | words << 35;
}
constexpr uint64_t composite_tag(uint64_t elements, uint64_t data, uint64_t pointers) {
  return elements << 2 | data << 32 | pointers << 48;
}

TEST(Codec, UnknownKindsAreRefused) {
  // The union's number is the first two bytes of Message, and of a record at byte 16 of LogEntry.
  for (uint64_t kind : {0, 23, 65535}) {
    const auto bytes = from_words({segment_of(3), struct_at(0, 1, 1), kind, 0});
    expect_refused(decode_message(bytes).status(), "unknown kind " + std::to_string(kind));
    const auto record =
        from_words({segment_of(5), struct_at(0, 3, 1), 1, 1, kind == 23 ? 7 : kind, 0});
    expect_refused(decode_entry(record).status(), "unknown kind");
  }
}

TEST(Codec, NullPointersAreRefusedWhereAValueMustBe) {
  // AdmitRecord without a root: not 16 bytes.
  const auto bytes = from_words({segment_of(5), struct_at(0, 3, 1), 1, 1, 4, 0});
  expect_refused(decode_entry(bytes).status(), "0 bytes instead of 16");
}

// EntriesMessage: Message → Entries → a list whose elements have no size.
std::vector<std::byte> entries_without_size(uint64_t elements) {
  return from_words({segment_of(7), struct_at(0, 1, 1), 12, struct_at(0, 1, 1), 1,
                     composite_list_at(0, 0), composite_tag(elements, 0, 0), 0});
}

TEST(Codec, AListThatClaimsMoreThanItsBytesIsRefused) {
  for (uint64_t elements : {200u, 70000u, (1u << 29) - 1})
    EXPECT_EQ(decode_message(entries_without_size(elements)).status().code(), Code::kArgument);
}

TEST(Codec, ManyPointersToOneListAreRefused) {
  // A snapshot's history of 4000 views, all of which point to one list of 4000 members.
  constexpr uint64_t kViews = 4000, kMembers = 4000;
  std::vector<uint64_t> words = {0, struct_at(0, 3, 1), 1, 1, 5, struct_at(0, 1, 6), 0};
  for (int pointer = 0; pointer < 6; ++pointer)
    words.push_back(pointer == 4 ? composite_list_at(1, kViews * 2) : 0);
  words.push_back(composite_tag(kViews, 1, 1));
  for (uint64_t v = 0; v < kViews; ++v) {
    words.push_back(v);
    words.push_back(composite_list_at((kViews - 1 - v) * 2, kMembers * 2));
  }
  words.push_back(composite_tag(kMembers, 2, 0));
  words.resize(words.size() + kMembers * 2, 1);
  words[0] = segment_of(words.size() - 1);
  expect_refused(decode_entry(from_words(words)).status(), "traversal limit");
}

TEST(Codec, OutcomesAndModesWithoutMeaningAreRefused) {
  // The number is the only thing that changes between the two encodings.
  LogEntry entry{Term(1), LogIndex(1), ResolveRecord{{Epoch(1), {{}}, {}}}};
  auto& op = std::get<ResolveRecord>(entry.record).resolution.groups[0].ops;
  op = {{OpSeq(1), OpDecision::Outcome::kFinal, {}, {}}};
  auto bytes = encode(entry);
  op[0].outcome = OpDecision::Outcome::kAbort;
  const auto other = encode(entry);
  const auto at = std::mismatch(bytes.begin(), bytes.end(), other.begin()).first;
  *at = std::byte{0};
  expect_refused(decode_entry(bytes).status(), "unknown outcome 0");
  *at = std::byte{4};
  expect_refused(decode_entry(bytes).status(), "unknown outcome 4");

  SealReport sealed{Epoch(1), {{kRootGroup, OpSeq(1), OpSeq(2), {{}}, {}}}};
  bytes = encode(ControlMessage(SealedMessage{sealed}));
  sealed.groups[0].open[0].mode = RebuildMode::kKeep;
  const auto keep = encode(ControlMessage(SealedMessage{sealed}));
  const auto mode = std::mismatch(bytes.begin(), bytes.end(), keep.begin()).first;
  *mode = std::byte{7};
  expect_refused(decode_message(bytes).status(), "unknown rebuild mode 7");
}

// ---- damage

TEST(Codec, TruncatedAtEveryByteIsRefused) {
  for (const ControlMessage& message : all_messages()) {
    const auto bytes = encode(message);
    for (size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(decode_message(ConstBytes(bytes).first(size))) << message.index() << " " << size;
  }
}

TEST(Codec, DamagedBytesNeverCrash) {
  Prng prng(20240601);
  size_t refused = 0, read = 0;
  for (const ControlMessage& message : all_messages()) {
    const auto bytes = encode(message);
    for (int round = 0; round < 3000; ++round) {
      auto damaged = bytes;
      for (uint64_t flips = 1 + prng.below(4); flips > 0; --flips)
        damaged[prng.below(damaged.size())] ^= std::byte(1u << prng.below(8));
      const auto back = decode_message(damaged);
      // What is read is a message like any other.
      if (back && !encode(back.value()).empty()) ++read;
      if (!back) ++refused;
    }
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(read, 1000u);
}

TEST(Codec, EveryFlippedBitOfARecordIsRefusedOrReadAsSomeRecord) {
  for (const LogEntry& entry : all_entries()) {
    auto bytes = encode(entry);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] ^= std::byte(1u << bit % 8);
      if (const auto back = decode_entry(bytes); !back) {
        EXPECT_EQ(back.status().code(), Code::kArgument);
      }
      bytes[bit / 8] ^= std::byte(1u << bit % 8);
    }
  }
}

TEST(Codec, NoiseIsRefused) {
  Prng prng(7);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::byte> noise(8 * prng.below(64));
    for (std::byte& b : noise) b = std::byte(prng.next());
    if (!noise.empty()) std::memset(noise.data(), 0, 4);  // one segment
    EXPECT_FALSE(decode_message(noise));
  }
}

}  // namespace
}  // namespace rhz::wire
