#include "recovery/sync/donor.h"

#include "tests/unit/sync_world.h"

namespace rhz::recovery::test {
namespace {

struct DonorTest : testing::Test {
  Contents contents = random_contents({3 * kBlock + 10, 100}, 1);
  BufferPool pool;
  Holder held{contents};
  Donor donor{pool};
  std::vector<SendData> answers;

  void open() { donor.open(OpSeq(5), 7, held.state.root(), held.state); }
  DataStatus ask(Pull pull) {
    const auto payload = encode_pull(pull);
    auto answer = donor.handle(PeerId{2, 2}, payload);
    if (!answer) return static_cast<DataStatus>(99);
    answers.push_back(*answer);
    const auto data = decode_data({answer->payload.data(), answer->length});
    EXPECT_TRUE(data && data->pull == pull);
    return data ? data->status : static_cast<DataStatus>(98);
  }
  static Pull range(uint32_t tensor, uint64_t offset, uint32_t length) {
    return {PullKind::kRange, tensor, OpSeq(5), offset, length};
  }
};

TEST_F(DonorTest, AnswersARangeWithACopy) {
  open();
  ASSERT_EQ(ask(range(0, kBlock, 2 * kBlock + 10)), DataStatus::kOk);
  donor.close();
  held.contents[0].assign(held.contents[0].size(), std::byte{0});
  const SendData& answer = answers[0];
  EXPECT_EQ(answer.to, (PeerId{2, 2}));
  ASSERT_EQ(answer.length, kDataHeaderBytes + 2 * kBlock + 10);
  EXPECT_EQ(std::memcmp(answer.payload.data() + kDataHeaderBytes, contents[0].data() + kBlock,
                        2 * kBlock + 10),
            0);
}

TEST_F(DonorTest, AnswersClosedBeforeOpenAfterCloseAndForAnotherOp) {
  EXPECT_EQ(ask(range(1, 0, 100)), DataStatus::kClosed);
  open();
  Pull other = range(1, 0, 100);
  other.sync = OpSeq(6);
  EXPECT_EQ(ask(other), DataStatus::kClosed);
  EXPECT_EQ(ask(range(1, 0, 100)), DataStatus::kOk);
  donor.close();
  EXPECT_EQ(ask(range(1, 0, 100)), DataStatus::kClosed);
  EXPECT_EQ(donor.counters().closed, 3u);
}

TEST_F(DonorTest, RefusesRangesThatDoNotExistOrCannotBeChecked) {
  open();
  EXPECT_EQ(ask(range(2, 0, 1)), DataStatus::kRefused);
  EXPECT_EQ(ask(range(1, 0, 101)), DataStatus::kRefused);
  EXPECT_EQ(ask(range(1, 0, 99)), DataStatus::kRefused) << "ends inside a block";
  EXPECT_EQ(ask(range(0, 1, kBlock)), DataStatus::kRefused) << "begins inside a block";
  EXPECT_EQ(ask(range(0, UINT64_MAX - kBlock + 1, kBlock)), DataStatus::kRefused);
  EXPECT_EQ(ask({PullKind::kManifest, 1, OpSeq(5), 0, 10}), DataStatus::kRefused);
  EXPECT_EQ(ask({PullKind::kManifest, 0, OpSeq(5), 0, kMaxPullBytes}), DataStatus::kRefused);
  EXPECT_EQ(ask({PullKind::kManifest, 0, OpSeq(5), UINT64_MAX, 1}), DataStatus::kRefused);
  EXPECT_EQ(donor.counters().served, 0u);
}

TEST_F(DonorTest, DropsWhatIsNoPull) {
  open();
  auto payload = encode_pull(range(1, 0, 100));
  EXPECT_FALSE(donor.handle(PeerId{2, 2}, ConstBytes(payload).first(31)));
  payload[28] = std::byte{1};
  EXPECT_FALSE(donor.handle(PeerId{2, 2}, payload)) << "the reserved field is set";
  for (const uint32_t length : {0u, kMaxPullBytes + 1})
    EXPECT_FALSE(donor.handle(PeerId{2, 2}, encode_pull(range(1, 0, length)))) << length;
  payload = encode_pull(range(1, 0, 100));
  payload[0] = std::byte{4};
  EXPECT_FALSE(donor.handle(PeerId{2, 2}, payload)) << "an unknown kind";
  EXPECT_EQ(donor.counters().dropped, 5u);
}

TEST_F(DonorTest, ServesItsManifestInPieces) {
  open();
  const auto size = static_cast<uint32_t>(manifest_bytes(held.state));
  ASSERT_EQ(ask({PullKind::kManifest, 0, OpSeq(5), 0, 50}), DataStatus::kOk);
  ASSERT_EQ(ask({PullKind::kManifest, 0, OpSeq(5), 50, size - 50}), DataStatus::kOk);
  std::vector<std::byte> text;
  for (const SendData& piece : answers) {
    const ConstBytes bytes(piece.payload.data(), piece.length);
    text.insert(text.end(), bytes.begin() + kDataHeaderBytes, bytes.end());
  }
  const auto manifest = Manifest::parse(text);
  ASSERT_TRUE(manifest) << manifest.status().text();
  EXPECT_EQ(manifest.value().root, held.state.root());
  EXPECT_EQ(manifest.value().revision, 7u);
}

TEST_F(DonorTest, TakesAManifestThatTheDriverHasAlready) {
  ManifestBuilder builder(held.state, 7);
  ASSERT_TRUE(builder.advance(UINT64_MAX));
  Manifest manifest = builder.take();
  donor.open(OpSeq(5), 7, manifest.root, held.state, manifest);
  const auto text = manifest.serialise();
  ASSERT_EQ(ask({PullKind::kManifest, 0, OpSeq(5), 0, static_cast<uint32_t>(text.size())}),
            DataStatus::kOk);
  EXPECT_EQ(std::memcmp(answers[0].payload.data() + kDataHeaderBytes, text.data(), text.size()), 0);
}

TEST_F(DonorTest, WhoseTensorsAreNotTheReportedOnesSaysSo) {
  donor.open(OpSeq(5), 7, Digest{}, held.state);
  EXPECT_EQ(ask({PullKind::kManifest, 0, OpSeq(5), 0, 10}), DataStatus::kDiverged);
  EXPECT_EQ(ask(range(1, 0, 100)), DataStatus::kDiverged);
}

TEST_F(DonorTest, B1IsBusyWhileTooManyAnswersAreUnsentAlsoAcrossReopening) {
  open();
  DataStatus status = DataStatus::kOk;
  size_t served = 0;
  for (; served < 1000 && status == DataStatus::kOk; ++served)
    status = ask(range(0, 0, 3 * kBlock));
  EXPECT_EQ(status, DataStatus::kBusy);
  EXPECT_LE(pool.in_use_bytes(), Donor::kMaxUnsentBytes + 2 * kMaxPullBytes);
  donor.close();
  open();
  EXPECT_EQ(ask(range(0, 0, 3 * kBlock)), DataStatus::kBusy);
  answers.clear();
  EXPECT_EQ(ask(range(0, 0, 3 * kBlock)), DataStatus::kOk);
}

TEST_F(DonorTest, B1DropsPullsWhileTooManyShortAnswersAreUnsent) {
  for (size_t i = 0; i < Donor::kMaxUnsentAnswers; ++i)
    ASSERT_EQ(ask(range(1, 0, 100)), DataStatus::kClosed);
  EXPECT_EQ(ask(range(1, 0, 100)), static_cast<DataStatus>(99));
  answers.clear();
  EXPECT_EQ(ask(range(1, 0, 100)), DataStatus::kClosed);
}

}  // namespace
}  // namespace rhz::recovery::test
