// One real peer on a tape of events: Node over a transport that hands every frame out and takes in
// what it is given, and a program that submits its ops one after the other and uses its buffers
// again as soon as they are its own.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "api/src/node.h"
#include "tests/explore/event.h"
#include "tests/explore/options.h"

namespace rhz::explore {

inline constexpr size_t kMaxLanes = 2 * kMaxPeers;  // that come in
constexpr uint32_t lane_of(uint32_t peer, uint32_t lane) { return 2 * peer + lane; }

// What others may see of it.  Without padding: compared as bytes.
struct OpFacts {
  uint16_t returned = 0;  // 1 + the code
  uint8_t begun = 0, final = 0;
  std::array<uint8_t, kMaxChunks> from{};  // who contributed
  std::array<uint8_t, kMaxChunks> made{};  // lineage
  std::array<uint8_t, kMaxChunks> left{};  // of whom a partial went on (include)
  std::array<uint8_t, kMaxChunks> held{};  // as made, while it is open
  std::array<uint8_t, kMaxChunks> held_left{};
};
struct PeerFacts {
  uint8_t ended = 0, sealed = 0, idle = 0;
  uint8_t seen = 0;             // members of the newest view that it has seen
  uint8_t named = 0, told = 0;  // peers that the transport knows, and those that it said are dead
  uint16_t complaint = 0;       // see complaint_text()
  uint32_t epoch = 0;
  uint32_t landing = 0;  // a bit per lane: half of a frame is there
  int64_t deadline = 0;
  std::array<OpFacts, kMaxOps> op{};
};

class PeerRig final : public Transport {
 public:
  PeerRig(const Options& options, Messages& messages, uint32_t self);
  ~PeerRig() override;

  // False: the frame is held, and nothing has happened.
  bool feed(const Event& event, Outs& outs);
  const PeerFacts& facts() const { return facts_; }

 private:
  struct Op;
  struct Unread {  // a frame that reads the caller's memory
    uint32_t number;
    uint8_t to, lane;
    wire::FrameHeader header;
    ConstBytes payload;
    MessageId message;
  };

  void set_events(TransportEvents* events) override { events_ = events; }
  std::vector<std::string> endpoints() const override { return {"explore"}; }
  void set_peers(std::span<const PeerAddress> peers, std::span<const PeerId>) override;
  void send(PeerId to, LaneClass lane, OutFrame frame) override;
  bool quiesce() override;
  void release_op(GroupId group, OpSeq op) override;
  bool reads(GroupId group, OpSeq op) override;
  void resume() override {}
  void close(Time, std::function<void()> closed) override { closed(); }
  Time tick(Time) override { return kNever; }
  TransportCounters counters() const override { return {}; }

  bool take_frame(const Event& event);
  void take_rest(const Event& event);
  void settle();
  void submit_next();
  void returned(Op& op, const OpOutcome& outcome);
  void check_value(const Op& op, const OpOutcome& outcome);
  void look();
  void complain(uint16_t what) { facts_.complaint = facts_.complaint ? facts_.complaint : what; }

  const Options& options_;
  Messages& messages_;
  const uint32_t self_;
  Time now_{};
  Outs* outs_ = nullptr;
  TransportEvents* events_ = nullptr;
  std::vector<Unread> unread_;
  uint32_t frames_ = 0;
  BufferPool pool_;
  std::array<Landing, kMaxLanes> landing_;  // of frames of which half is there
  recovery::State state_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::unique_ptr<Node> node_;
  uint32_t submitted_ = 0;
  bool may_submit_ = false;
  PeerFacts facts_;
};

std::string complaint_text(uint16_t what);
PeerId id_of(uint32_t peer);
RunConfig run_config(const Options& options);
uint64_t elements_of(const Options& options);

}  // namespace rhz::explore
