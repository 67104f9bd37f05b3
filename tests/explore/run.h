// A whole run as a state that is a few numbers, and what may happen next in it.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "tests/explore/coordinator_rig.h"
#include "tests/explore/histories.h"
#include "tests/explore/peer_rig.h"

namespace rhz::explore {

struct State {  // without padding: hashed as bytes
  std::array<HistoryId, kMaxPeers> peer{};
  HistoryId coordinator = 0;
  uint8_t crashed = 0, crashes = 0, suspicions = 0, restarts = 0;
  uint32_t halves = 0;
  std::array<std::array<std::array<QueueId, 2>, kMaxPeers>, kMaxPeers> data{};  // from, to, lane
  std::array<std::array<MessageId, kMaxLanes>, kMaxPeers>
      landing{};  // at whom, on which lane: the other half
  uint32_t unused = 0;
  std::array<QueueId, kMaxPeers> up{}, down{};  // control connections
  int64_t now = 0;

  bool is_crashed(uint32_t peer_number) const { return crashed >> peer_number & 1; }
  uint32_t faults() const { return uint32_t{crashes} + suspicions + restarts; }
};
static_assert(std::has_unique_object_representations_v<State>);

inline constexpr Time kBegin = std::chrono::seconds(1);  // so that no clock is at zero
inline constexpr uint8_t kTheCoordinator = kMaxPeers;

struct Move {
  enum class Kind : uint8_t {
    kEvent,    // at one process
    kCrash,    // of a peer
    kSuspect,  // an event at the accuser, who is wrong
    kRestart,  // of the coordinator, after `done` actions upon the event; kStart: no event
    kWait,     // nothing is under way: time passes until somebody's timer
  };
  Kind kind = Kind::kEvent;
  uint8_t who = 0;
  uint8_t done = 0;
  Event event;
  bool is_fault() const { return kind != Kind::kEvent && kind != Kind::kWait; }
};

class Run {
 public:
  explicit Run(const Options& options);

  // All peers are members, and nothing has begun.
  State initial();
  // Without faults: empty when nothing can happen but that time passes.
  void moves(const State& state, std::vector<Move>& out);
  void faults(const State& state, std::vector<Move>& out);
  // No timer is set: kWait can do nothing.
  bool can_wait(const State& state) const { return next_timer(state) != INT64_MAX; }
  State after(const State& state, const Move& move);
  // Every peer that takes part has all its ops behind it.
  bool is_quiet(const State& state) const;

  bool is_member(const State& state, uint32_t peer) const {
    return coordinator(state).members >> peer & 1;
  }
  bool is_running(const State& state, uint32_t peer) const {
    return !state.is_crashed(peer) && !facts(state, peer).ended;
  }
  const PeerFacts& facts(const State& state, uint32_t peer) const {
    return peers_[peer].facts(state.peer[peer]);
  }
  const CoordinatorFacts& coordinator(const State& state) const {
    return coordinators_.facts(state.coordinator);
  }
  std::string text(const State& state, const Move& move) const;
  std::string text(const State& state) const;
  std::string numbers() const;  // how much had to be lived through for real

 private:
  using Peers = Histories<PeerRig, PeerFacts>;
  using Coordinators = Histories<CoordinatorRig, CoordinatorFacts>;

  void deliveries(const State& state, std::vector<Move>& out);
  void restarts(const State& state, std::vector<Move>& out);
  void frames(const State& state, uint8_t to, std::vector<Move>& out);
  bool has_effect(const State& state, uint32_t to, MessageId message) const;
  bool is_stale_word(const State& state, uint32_t from, MessageId message) const;
  bool is_connected(const State& state, uint32_t peer) const;
  void live(State& state, uint8_t who, const Event& event);
  void send(State& state, uint8_t from, const Out& out);
  void crash(State& state, uint32_t peer);
  void restart(State& state, const Move& move);
  void drop_what_is_stale(State& state);
  int64_t next_timer(const State& state) const;
  HistoryId begin_coordinator(Log log, Time now);
  Log log_of(HistoryId at);

  const Options options_;
  Messages messages_;
  Queues queues_;
  Records records_;
  std::vector<Peers> peers_;
  Coordinators coordinators_;
  std::map<HistoryId, Log> logs_;                       // of those that just begin
  std::map<std::pair<Log, int64_t>, HistoryId> begun_;  // by log and time
};

}  // namespace rhz::explore
