// The Transport of one simulated process.  As unkind as the interface allows: a frame without
// `keep` reads its sender's memory as late as when it leaves, a payload lands some time after its
// header (half of it at once), and between the two anything happens.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <vector>

#include "runtime/transport/transport.h"
#include "tests/sim/directory.h"

namespace rhz::sim {

class SimTransport final : public Transport {
 public:
  SimTransport(World& world, Network& network, Directory& directory, const Config& config,
               NodeIndex self, uint64_t run_hash);
  ~SimTransport() override;

  void set_events(TransportEvents* events) override { events_ = events; }
  std::vector<std::string> endpoints() const override { return {"sim:" + std::to_string(self_)}; }
  void set_peers(std::span<const PeerAddress> peers, std::span<const PeerId> likely_next) override;
  void send(PeerId to, LaneClass lane, OutFrame frame) override;
  bool quiesce() override;
  void release_op(GroupId group, OpSeq op) override;
  bool reads(GroupId group, OpSeq op) override;
  void resume() override;
  void close(Time deadline, std::function<void()> closed) override;
  Time tick(Time now) override;
  TransportCounters counters() const override { return counters_; }

  // The simulator's side.  Evidence of a broken edge, where the peer is still named.
  void lost(PeerId peer, Evidence evidence);
  void said_goodbye(PeerId peer);
  // The connection of that lane breaks, perhaps in the middle of a frame, and is made anew: what
  // was not consumed is sent again.
  void reset(PeerId to, LaneClass lane);
  // One bit of the next final value that arrives; `told` of the frame.
  void flip_next(std::function<void(const wire::FrameHeader&)> told) { flip_ = std::move(told); }
  // A zombie connection: what that lane brought in epochs before `installed` comes again, behind the handshake, which only says
  // whether the sender is named.  Numbers do not help: a lane that was forgotten begins anew.
  bool replay(PeerId from, LaneClass lane, Epoch installed);
  // A lane is not read for so long, and then all that has come; the sender may notice.
  bool shut(PeerId from, LaneClass lane, Duration time);
  bool stalls(PeerId to) const;
  // The way to a peer is cut from now on: what is under way on it stalls.
  void cut(PeerId to);
  // Of lanes that are not empty: what waits, and why.
  std::string text() const;
  void mute() { muted_ = true; }  // its process dies
  bool names(PeerId peer) const;
  // The process behind a named peer may be gone: evidence follows, when the network lets it
  // through.
  void watch_death(PeerId id);

 private:
  struct Out {
    OutFrame frame;
    std::vector<std::byte> copy;  // of the payload, where send() had to copy
    bool copied = false;
    uint64_t number = 0;  // in its lane, from 1
  };
  struct In {
    wire::FrameHeader header;
    std::vector<std::byte> payload;
    uint64_t number = 0;
  };
  // Of a thousand peers each has a thousand others: an idle lane owns no memory (std::list, not std::deque), and one that was never
  // used is not there.
  struct Lane {
    StreamRef out;
    std::list<Out> queue;  // not left yet
    std::list<Out> sent;   // and not consumed
    uint64_t numbers = 0;
    bool leaving = false;    // an event will send the first of it
    std::list<In> arrived;  // not consumed
    std::list<In> past;     // the newest that have arrived, where there are replays
    uint64_t consumed = 0;   // highest number
    bool held = false, landing = false, cancelled = false, scheduled = false;
    bool shut = false;
    bool lost = false;  // the connection broke during the landing
    Landing place;
  };
  struct Peer {
    PeerId id;
    bool named = false, told_down = false, said_goodbye = false;
    bool watched = false;  // whether what it was sent gets through
    std::unique_ptr<Lane> lanes[2];
  };

  Peer& peer(PeerId id);
  Lane& lane_of(PeerId id, LaneClass lane);
  void leave(PeerId to, LaneClass lane);
  void leave_later(PeerId to, LaneClass lane, Duration delay);
  void consume(PeerId from, LaneClass lane, uint64_t number);
  void consumed(PeerId to, LaneClass lane, uint64_t number);
  void connection_lost(PeerId from, LaneClass lane);
  static void drop(Lane& lane, const std::function<bool(const Out&)>& which);
  void arrive(PeerId from, LaneClass lane, In frame);
  void arrive_again(PeerId from, const In& frame);
  void offer(PeerId from, LaneClass lane);
  void offer_later(PeerId from, LaneClass lane, Duration delay);
  void land(PeerId from, LaneClass lane);
  void watch_cut(PeerId id);
  void maybe_flip(const wire::FrameHeader& header, std::byte* payload);
  static bool reads(const Out& out, GroupId group, OpSeq op);
  static bool reads_caller_memory(const Out& out) {
    return !out.copied && !out.frame.keep && !out.frame.payload.empty();
  }

  World& world_;
  Network& network_;
  Directory& directory_;
  const Config& config_;
  const NodeIndex self_;
  const uint64_t run_hash_;
  bool muted_ = false;
  TransportEvents* events_ = nullptr;
  std::map<PeerId, Peer> peers_;
  std::vector<Peer*> by_index_;  // the same, by NodeIndex; null: not there
  TransportCounters counters_;
  std::function<void(const wire::FrameHeader&)> flip_;
};

}  // namespace rhz::sim
