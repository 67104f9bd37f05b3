// Two messengers wired in memory, and frames that no honest one sends: docs/protocol.md, "Send and
// receive".
#include "collectives/p2p/messenger.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>

#include "tests/unit/send_only.h"

namespace rhz {
namespace {

using wire::FrameHeader;
using wire::Kind;

constexpr uint32_t kPiece = 1024;

PeerId id_of(uint32_t side) { return {9, side + 1}; }

struct Sent {
  FrameHeader header;
  std::vector<std::byte> bytes;
};

struct Port final : SendOnly {
  void send(PeerId, LaneClass, OutFrame frame) override {
    frame.header.length = static_cast<uint32_t>(frame.payload.size());
    out.push_back({frame.header, {frame.payload.begin(), frame.payload.end()}});
  }
  std::deque<Sent> out;
};

struct Ended final : OpCompletion {
  void released(const OpOutcome& outcome) override { code = outcome.status.code(); }
  void finalised(const Status& status) override { final_code = status.code(); }
  Code code = Code::kPending, final_code = Code::kPending;
};

class Messengers : public testing::Test {
 protected:
  Messengers() {
    RunConfig config;
    config.segment_bytes = kPiece;
    for (uint32_t side : {0u, 1u}) {
      view_.members.push_back({id_of(side), Slot(side), 0, {}});
      ends_[side] = std::make_unique<Messenger>(id_of(side), ports_[side], pool_);
      ends_[side]->set_config(config);
    }
    view_.epoch = Epoch(1);
    for (auto& end : ends_) end->install(Time{}, view_);
    for (size_t i = 0; i < text_.size(); ++i) text_[i] = static_cast<std::byte>(i * 7);
  }
  MessageHandle submit(uint32_t side, bool sends, uint64_t bytes, Ended& ended, uint64_t tag = 0) {
    MessageSpec spec;
    spec.sends = sends;
    spec.peer = Slot(1 - side);
    spec.channel.tag = tag;
    spec.bytes = bytes;
    spec.send = text_.data();
    spec.recv = room_.data();
    return ends_[side]->submit(Time{}, spec, &ended);
  }
  // One frame to the other side; whether it was let in.
  bool deliver(uint32_t from, const Sent& sent) {
    Messenger& to = *ends_[1 - from];
    Landing landing = to.on_header(Time{}, id_of(from), sent.header);
    if (landing.verdict != Landing::Verdict::kInto) return false;
    if (!sent.bytes.empty()) std::memcpy(landing.into, sent.bytes.data(), sent.bytes.size());
    to.on_frame(Time{}, id_of(from), sent.header, std::move(landing));
    return true;
  }
  Sent next(uint32_t from) {
    Sent sent = std::move(ports_[from].out.front());
    ports_[from].out.pop_front();
    return sent;
  }
  void run() {
    while (!ports_[0].out.empty() || !ports_[1].out.empty())
      for (uint32_t side : {0u, 1u})
        if (!ports_[side].out.empty()) deliver(side, next(side));
  }
  void change_view() {
    view_.epoch = view_.epoch.next();
    for (auto& end : ends_) end->seal();
    for (auto& port : ports_) port.out.clear();
    for (auto& end : ends_) end->install(Time{}, view_);
  }
  bool right(uint64_t bytes) const { return std::memcmp(text_.data(), room_.data(), bytes) == 0; }

  BufferPool pool_;
  View view_;
  Port ports_[2];
  std::unique_ptr<Messenger> ends_[2];
  std::array<std::byte, 40000> text_{}, room_{};
};

TEST_F(Messengers, SendASmallMessageInOneFrameThatReturnsAtOnce) {
  Ended sent, received;
  submit(0, true, 100, sent);
  EXPECT_EQ(sent.code, Code::kOk);
  EXPECT_EQ(sent.final_code, Code::kPending);
  EXPECT_EQ(ports_[0].out.size(), 1u);
  submit(1, false, 100, received);
  run();
  EXPECT_EQ(received.code, Code::kOk);
  EXPECT_EQ(sent.final_code, Code::kOk);
  EXPECT_TRUE(right(100));
  EXPECT_EQ(ends_[0]->open() + ends_[1]->open(), 0u);
}

TEST_F(Messengers, PullALargeMessageInAWindowOfPieces) {
  Ended sent, received;
  submit(0, true, text_.size(), sent);
  submit(1, false, text_.size(), received);
  deliver(0, next(0));  // the offer
  deliver(1, next(1));  // the pull
  EXPECT_EQ(ports_[0].out.size(), MessageLimits{}.window);
  EXPECT_EQ(sent.code, Code::kPending);
  run();
  EXPECT_EQ(received.code, Code::kOk);
  EXPECT_EQ(sent.code, Code::kOk);
  EXPECT_TRUE(right(text_.size()));
}

TEST_F(Messengers, GoOnBehindWhatIsHereAfterAChangeOfView) {
  Ended sent, received;
  submit(0, true, text_.size(), sent);
  submit(1, false, text_.size(), received);
  deliver(0, next(0));
  deliver(1, next(1));
  for (int i = 0; i < 5; ++i) deliver(0, next(0));
  change_view();
  EXPECT_EQ(next(0).header.kind, Kind::kMessage);
  change_view();
  size_t pieces = 0;
  while (!ports_[0].out.empty() || !ports_[1].out.empty()) {
    for (uint32_t side : {0u, 1u}) {
      if (ports_[side].out.empty()) continue;
      const Sent frame = next(side);
      pieces += frame.header.kind == Kind::kPiece;
      deliver(side, frame);
    }
  }
  EXPECT_EQ(pieces, (text_.size() + kPiece - 1) / kPiece - 5);
  EXPECT_EQ(received.code, Code::kOk);
  EXPECT_TRUE(right(text_.size()));
}

TEST_F(Messengers, AnswerAMessageThatComesTwiceAndTakeItOnce) {
  Ended sent, first, second;
  submit(0, true, 50, sent);
  submit(1, false, 50, first);
  submit(1, false, 50, second);
  const Sent frame = next(0);
  EXPECT_TRUE(deliver(0, frame));
  EXPECT_EQ(next(1).header.kind, Kind::kTaken);  // lost with the epoch
  change_view();
  run();
  EXPECT_EQ(first.code, Code::kOk);
  EXPECT_EQ(second.code, Code::kPending);
  EXPECT_EQ(sent.final_code, Code::kOk);
}

TEST_F(Messengers, IgnoreFramesOfAnotherEpochAndThoseThatComeWhileSealed) {
  Ended sent, received;
  submit(0, true, 50, sent);
  submit(1, false, 50, received);
  Sent frame = next(0);
  frame.header.epoch = Epoch(0);
  EXPECT_FALSE(deliver(0, frame));
  frame.header.epoch = Epoch(1);
  ends_[1]->seal();
  EXPECT_FALSE(deliver(0, frame));
  EXPECT_EQ(received.code, Code::kPending);
}

TEST_F(Messengers, LetInNoFrameThatNoHonestPeerSends) {
  Ended sent, received;
  submit(0, true, text_.size(), sent);
  submit(1, false, text_.size(), received);
  const Sent offer = next(0);
  const auto refused = [&](uint32_t from, auto change, Sent frame) {
    change(frame.header);
    frame.bytes.resize(frame.header.length);
    return !deliver(from, frame) && ports_[1 - from].out.empty();
  };
  EXPECT_TRUE(refused(
      0, [](FrameHeader& h) { h.full_upto = 1; }, offer))
      << "a gap";
  EXPECT_TRUE(refused(
      0, [](FrameHeader& h) { h.length = 10; }, offer))
      << "half a message";
  EXPECT_TRUE(refused(
      0, [](FrameHeader& h) { h.segment = SegmentIndex(~0u); }, offer))
      << "too long";
  EXPECT_TRUE(refused(
      0,
      [](FrameHeader& h) {
        h.kind = Kind::kPiece;
        h.length = kPiece;
      },
      offer))
      << "not pulled";
  deliver(0, offer);
  const Sent pull = next(1);
  const auto nothing = [&](auto change) {
    Sent frame = pull;
    change(frame.header);
    deliver(1, frame);
    return ports_[0].out.empty();
  };
  EXPECT_TRUE(nothing([](FrameHeader& h) { h.full_upto = 7; }));
  EXPECT_TRUE(nothing([](FrameHeader& h) { h.segment = SegmentIndex(1000); }));
  EXPECT_TRUE(
      nothing([](FrameHeader& h) { h.chunk = ChunkIndex(9), h.segment = SegmentIndex(3); }));
  EXPECT_TRUE(nothing([](FrameHeader& h) { h.kind = Kind::kTaken, h.full_upto = 2; }));
  EXPECT_EQ(sent.code, Code::kPending);
  deliver(1, pull);
  const Sent piece = next(0);
  ports_[0].out.clear();
  EXPECT_TRUE(refused(
      0, [](FrameHeader& h) { h.chunk = ChunkIndex(20); }, piece))
      << "not pulled yet";
  EXPECT_TRUE(refused(
      0, [](FrameHeader& h) { h.length = kPiece - 1; }, piece));
  EXPECT_TRUE(deliver(0, piece));
  EXPECT_TRUE(refused(
      0, [](FrameHeader&) {}, piece))
      << "twice";
}

TEST_F(Messengers, WithdrawAMessageThatWasCancelledWhileSealed) {
  Ended first, second, received;
  const MessageHandle handle = submit(0, true, text_.size(), first);
  submit(0, true, 60, second);
  run();
  ends_[0]->seal();
  ends_[0]->cancel(Time{}, handle);
  EXPECT_EQ(first.code, Code::kCancelled);
  change_view();
  submit(1, false, 100, received);
  run();
  EXPECT_EQ(received.code, Code::kOk);
  EXPECT_TRUE(right(60));
  EXPECT_EQ(ends_[0]->open(), 0u);
}

TEST_F(Messengers, KeepAReceiveOpenUntilNothingLandsInItsBuffer) {
  Ended sent, received;
  submit(0, true, text_.size(), sent);
  const MessageHandle handle = submit(1, false, text_.size(), received);
  deliver(0, next(0));
  deliver(1, next(1));
  const Sent piece = next(0);
  Landing landing = ends_[1]->on_header(Time{}, id_of(0), piece.header);
  ends_[1]->cancel(Time{}, handle);
  EXPECT_EQ(received.code, Code::kPending);
  EXPECT_LT(ends_[1]->tick(Time{}), kNever);
  EXPECT_EQ(received.code, Code::kPending);
  landing = {};  // the connection broke
  ends_[1]->tick(Time{});
  EXPECT_EQ(received.code, Code::kCancelled);
  run();
  EXPECT_EQ(sent.code, Code::kOk) << "it was taken, and thrown away";
}

}  // namespace
}  // namespace rhz
