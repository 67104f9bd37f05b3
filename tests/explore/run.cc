#include "tests/explore/run.h"

#include <algorithm>

#include "runtime/base/assert.h"

namespace rhz::explore {
Run::Run(const Options& options)
    : options_(options),
      coordinators_(
          [this](HistoryId root) {
            return std::make_unique<CoordinatorRig>(options_, messages_, records_, logs_.at(root));
          },
          options.merge) {
  for (uint32_t p = 0; p < options.peers; ++p)
    peers_.emplace_back(
        [this, p](HistoryId) { return std::make_unique<PeerRig>(options_, messages_, p); },
        options.merge);
}

HistoryId Run::begin_coordinator(Log log, Time now) {
  const auto [known, fresh] = begun_.try_emplace({log, now.count()}, 0);
  if (!fresh) return known->second;
  const HistoryId root = coordinators_.root({});
  logs_[root] = std::move(log);
  return known->second = coordinators_.step(root, {Kind::kStart, 0, 0, kEnd, now}).to;
}

Log Run::log_of(HistoryId at) {
  const HistoryId before = coordinators_.parent(at);
  if (before == kNoHistory) return logs_.at(at);
  Log log = log_of(before);
  for (const Out& out : coordinators_.step(before, coordinators_.event(at)).outs)
    if (out.kind == Out::Kind::kAppend) log.push_back(out.message);
  return log;
}

// In one order: how a run is founded is no part of what is explored.
State Run::initial() {
  State state;
  state.now = kBegin.count();
  for (Peers& peers : peers_)
    state.peer[static_cast<size_t>(&peers - peers_.data())] = peers.root({});
  state.coordinator = begin_coordinator({}, kBegin);
  for (uint8_t p = 0; p < options_.peers; ++p) live(state, p, {Kind::kStart, 0, 0, kEnd, kBegin});
  std::vector<Move> next;
  for (deliveries(state, next); !next.empty(); deliveries(state, next)) {
    state = after(state, next.front());
    next.clear();
  }
  for (uint8_t p = 0; options_.together && p < options_.peers; ++p)
    live(state, p, {Kind::kBegin, 0, 0, kEnd, kBegin});
  return state;
}

bool Run::is_connected(const State& state, uint32_t peer) const {
  const auto& down = queues_[state.down[peer]];
  return std::none_of(down.begin(), down.end(),
                      [](const Letter& letter) { return letter.message == kEnd; });
}

// ---- what may happen

void Run::moves(const State& state, std::vector<Move>& out) {
  deliveries(state, out);
  const Time now(state.now);
  auto event = [&](uint32_t who, Kind kind, uint32_t peer) {
    out.push_back({Move::Kind::kEvent,
                   static_cast<uint8_t>(who),
                   0,
                   {kind, static_cast<uint8_t>(peer), 0, kEnd, now}});
  };
  for (uint32_t p = 0; p < options_.peers; ++p) {
    if (!is_running(state, p)) continue;
    const PeerFacts& peer = facts(state, p);
    // Of one who is out of the view already there is nothing to say.
    const auto to_tell = static_cast<uint8_t>(state.crashed & peer.named & peer.seen & ~peer.told);
    for (uint32_t dead = 0; dead < options_.peers; ++dead)
      if (to_tell >> dead & 1) event(p, Kind::kEdgeDown, dead);
    if (!peer.op[0].begun && !options_.together) event(p, Kind::kBegin, 0);
    if (peer.deadline <= state.now) event(p, Kind::kTick, 0);
  }
  if (coordinator(state).deadline <= state.now) event(kTheCoordinator, Kind::kTick, 0);
}

void Run::deliveries(const State& state, std::vector<Move>& out) {
  for (uint8_t p = 0; p < options_.peers; ++p) {
    if (is_running(state, p)) frames(state, p, out);
    for (const bool up : {true, false}) {
      const auto& letters = queues_[up ? state.up[p] : state.down[p]];
      if (letters.empty()) continue;
      const MessageId message = letters.front().message;
      const Kind kind = message == kEnd ? Kind::kEnd : Kind::kWord;
      const uint8_t from = up ? p : uint8_t{0};
      out.push_back({Move::Kind::kEvent,
                     up ? kTheCoordinator : p,
                     0,
                     {kind, from, 0, message, Time(state.now)}});
    }
  }
}

void Run::frames(const State& state, uint8_t to, std::vector<Move>& out) {
  const PeerFacts receiver = facts(state, to);  // a copy: what is tried below adds histories
  for (uint8_t from = 0; from < options_.peers; ++from) {
    // A transport shows nothing of peers that were not named to it; what they sent waits.
    if (!(receiver.named >> from & 1)) continue;
    for (uint8_t lane = 0; lane < 2; ++lane) {
      Event event{Kind::kFrame, from, lane, kEnd, Time(state.now)};
      const auto& letters = queues_[state.data[from][to][lane]];
      if (receiver.landing >> lane_of(from, lane) & 1) {
        event.kind = Kind::kRest;
        event.message = state.landing[to][lane_of(from, lane)];
      } else if (letters.empty()) {
        continue;
      } else {
        event.message = letters.front().message;
        if (peers_[to].step(state.peer[to], event).to == kHeld) continue;
      }
      out.push_back({Move::Kind::kEvent, to, 0, event});
      if (event.kind == Kind::kRest || state.halves >= options_.halves ||
          messages_[event.message].payload.empty())
        continue;
      event.kind = Kind::kHalf;
      out.push_back({Move::Kind::kEvent, to, 0, event});
    }
  }
}

void Run::faults(const State& state, std::vector<Move>& out) {
  if (state.faults() >= options_.faults) return;
  const Time now(state.now);
  for (uint8_t p = 0; p < options_.peers; ++p) {
    if (!is_running(state, p)) continue;
    if (state.crashes < options_.crashes) out.push_back({Move::Kind::kCrash, p, 0, {}});
    for (uint8_t other = 0; other < options_.peers && state.suspicions < options_.suspicions;
         ++other) {
      const PeerFacts& accuser = facts(state, p);
      const bool may =
          other != p && is_running(state, other) && (accuser.named & accuser.seen) >> other & 1;
      if (may && !(accuser.told >> other & 1))
        out.push_back({Move::Kind::kSuspect, p, 0, {Kind::kEdgeDown, other, 0, kEnd, now}});
    }
  }
  if (state.restarts < options_.restarts) restarts(state, out);
}

// Between two events, and between any two actions upon one.
void Run::restarts(const State& state, std::vector<Move>& out) {
  out.push_back(
      {Move::Kind::kRestart, kTheCoordinator, 0, {Kind::kStart, 0, 0, kEnd, Time(state.now)}});
  std::vector<Move> events;
  deliveries(state, events);
  for (const Move& move : events) {
    if (move.who != kTheCoordinator) continue;
    const size_t actions = coordinators_.step(state.coordinator, move.event).outs.size();
    for (uint8_t done = 1; done < actions; ++done)
      out.push_back({Move::Kind::kRestart, kTheCoordinator, done, move.event});
  }
}

// ---- what becomes of it

State Run::after(const State& before, const Move& move) {
  State state = before;
  const Event& event = move.event;
  switch (move.kind) {
    case Move::Kind::kWait: state.now = next_timer(state); break;
    case Move::Kind::kCrash:
      ++state.crashes;
      crash(state, move.who);
      break;
    case Move::Kind::kRestart:
      ++state.restarts;
      restart(state, move);
      break;
    case Move::Kind::kSuspect: ++state.suspicions; [[fallthrough]];
    case Move::Kind::kEvent: {
      QueueId* from = nullptr;
      if (event.kind == Kind::kFrame || event.kind == Kind::kHalf)
        from = &state.data[event.peer][move.who][event.lane];
      if (event.kind == Kind::kHalf) {
        ++state.halves;
        state.landing[move.who][lane_of(event.peer, event.lane)] = event.message;
      }
      if (event.kind == Kind::kWord || event.kind == Kind::kEnd)
        from = move.who == kTheCoordinator ? &state.up[event.peer] : &state.down[move.who];
      if (from) *from = queues_.pop(*from);
      live(state, move.who, event);
      break;
    }
  }
  drop_what_is_stale(state);
  return state;
}

void Run::live(State& state, uint8_t who, const Event& event) {
  if (who == kTheCoordinator) {
    const auto& step = coordinators_.step(state.coordinator, event);
    state.coordinator = step.to;
    for (const Out& out : step.outs) send(state, who, out);
  } else {
    const auto& step = peers_[who].step(state.peer[who], event);
    state.peer[who] = step.to;
    for (const Out& out : step.outs) send(state, who, out);
  }
}

void Run::send(State& state, uint8_t from, const Out& out) {
  switch (out.kind) {
    case Out::Kind::kAppend: break;
    case Out::Kind::kFrame: {
      QueueId& queue = state.data[from][out.peer][out.lane];
      if (is_running(state, out.peer)) queue = queues_.push(queue, {out.message, out.number});
      break;
    }
    case Out::Kind::kChanged:
    case Out::Kind::kTaken: {
      QueueId& queue = state.data[from][out.peer][out.lane];
      queue = out.kind == Out::Kind::kTaken ? queues_.without(queue, out.number)
                                            : queues_.changed(queue, out.number, out.message);
      break;
    }
    case Out::Kind::kWord:
    case Out::Kind::kEnd:
      if (from != kTheCoordinator) {
        if (is_connected(state, from))
          state.up[from] = queues_.push(state.up[from], {out.message, 0});
      } else if (is_running(state, out.peer)) {
        state.down[out.peer] = queues_.push(state.down[out.peer], {out.message, 0});
      }
      break;
  }
}

// What it sent may still arrive; that something never does is that it arrives when it does not
// count any more.
void Run::crash(State& state, uint32_t peer) {
  if (is_connected(state, peer)) state.up[peer] = queues_.push(state.up[peer], {kEnd, 0});
  state.crashed |= static_cast<uint8_t>(1u << peer);
}

// At once: a coordinator that is down is one whose messages take their time.
void Run::restart(State& state, const Move& move) {
  Log log = log_of(state.coordinator);
  if (move.event.kind != Kind::kStart) {
    const auto& outs = coordinators_.step(state.coordinator, move.event).outs;
    for (size_t i = 0; i < move.done; ++i) {
      if (outs[i].kind == Out::Kind::kAppend) log.push_back(outs[i].message);
      send(state, kTheCoordinator, outs[i]);
    }
  }
  for (uint32_t p = 0; p < options_.peers; ++p) {
    state.up[p] = 0;
    if (is_running(state, p) && is_connected(state, p))
      state.down[p] = queues_.push(state.down[p], {kEnd, 0});
  }
  state.coordinator = begin_coordinator(std::move(log), Time(state.now));
}

// Frames of older epochs, or of a sealed one, are dropped by whoever gets them, who is none the
// wiser: when that happens is of no interest.
bool Run::has_effect(const State& state, uint32_t to, MessageId message) const {
  const Message& frame = messages_[message];
  const PeerFacts& receiver = facts(state, to);
  const uint64_t epoch = frame.header.epoch.value;
  return !wire::is_op_frame(frame.header.kind) || epoch > receiver.epoch ||
         (epoch == receiver.epoch && !receiver.sealed);
}

// Likewise evidence of an older epoch, and the end of a connection of somebody who was removed.
bool Run::is_stale_word(const State& state, uint32_t from, MessageId message) const {
  if (message == kEnd) return !is_member(state, from);
  const auto* suspect = std::get_if<SuspectMessage>(&messages_[message].word);
  return suspect && suspect->epoch.value < coordinator(state).epoch;
}

void Run::drop_what_is_stale(State& state) {
  for (uint32_t p = 0; p < options_.peers; ++p)
    while (state.up[p] != 0 && is_stale_word(state, p, queues_[state.up[p]].front().message))
      state.up[p] = queues_.pop(state.up[p]);
  for (uint32_t to = 0; to < options_.peers; ++to) {
    const bool gone = !is_running(state, to);
    if (gone) state.down[to] = 0;
    for (uint32_t lane = 0; lane < kMaxLanes; ++lane)
      if (gone || !(facts(state, to).landing >> lane & 1)) state.landing[to][lane] = kEnd;
    for (uint32_t from = 0; from < options_.peers; ++from) {
      for (QueueId& queue : state.data[from][to]) {
        if (gone) queue = 0;
        while (queue != 0 && !has_effect(state, to, queues_[queue].front().message))
          queue = queues_.pop(queue);
      }
    }
  }
}

int64_t Run::next_timer(const State& state) const {
  int64_t next = coordinator(state).deadline;
  for (uint32_t p = 0; p < options_.peers; ++p)
    if (is_running(state, p)) next = std::min(next, facts(state, p).deadline);
  return next;
}

bool Run::is_quiet(const State& state) const {
  for (uint32_t p = 0; p < options_.peers; ++p) {
    if (!is_running(state, p)) continue;
    const PeerFacts& peer = facts(state, p);
    if (!peer.idle) return false;
    for (uint32_t k = 0; k < options_.ops; ++k)
      if (!peer.op[k].returned || !peer.op[k].final) return false;
  }
  return true;
}

// ---- in words

std::string Run::text(const State& state, const Move& move) const {
  const std::string who =
      move.who == kTheCoordinator ? "coordinator" : "p" + std::to_string(move.who);
  const std::string peer = "p" + std::to_string(move.event.peer);
  (void)state;
  switch (move.kind) {
    case Move::Kind::kWait: return "time passes";
    case Move::Kind::kCrash: return who + " crashes";
    case Move::Kind::kSuspect: return who + " takes " + peer + " for dead, which lives";
    case Move::Kind::kRestart:
      if (move.event.kind == Kind::kStart) return who + " dies and begins anew";
      return who + " dies after " + std::to_string(move.done) + " actions upon " +
             messages_.text(move.event.message) + " of " + peer + " and begins anew";
    case Move::Kind::kEvent: break;
  }
  switch (move.event.kind) {
    case Kind::kFrame:
    case Kind::kHalf:
    case Kind::kRest: {
      const char* how = move.event.kind == Kind::kFrame  ? " gets"
                        : move.event.kind == Kind::kHalf ? " gets half"
                                                         : " gets the rest";
      return who + how + " of " + peer + ": " + messages_.text(move.event.message);
    }
    case Kind::kWord:
    case Kind::kEnd:
      return who + " gets of " + (move.who == kTheCoordinator ? peer : "coordinator") + ": " +
             messages_.text(move.event.message);
    case Kind::kEdgeDown: return who + " is told that " + peer + " died";
    case Kind::kBegin: return who + " begins";
    case Kind::kTick: return who + ": a timer";
    default: return who + " starts";
  }
}

std::string Run::text(const State& state) const {
  std::string text = "newest view " + std::to_string(coordinator(state).epoch) + " of";
  for (uint32_t p = 0; p < options_.peers; ++p)
    if (is_member(state, p)) text += " p" + std::to_string(p);
  text += coordinator(state).resolved ? ", resolved" : ", not resolved";
  for (uint32_t p = 0; p < options_.peers; ++p) {
    const PeerFacts& peer = facts(state, p);
    text += "\n  p" + std::to_string(p) +
            (state.is_crashed(p) ? " crashed"
             : peer.ended        ? " ended"
                                 : "") +
            " epoch " + std::to_string(peer.epoch) + (peer.sealed ? " sealed" : "");
    for (uint32_t k = 0; k < options_.ops; ++k) {
      const OpFacts& op = peer.op[k];
      text += "; op " + std::to_string(k) + (op.begun ? "" : " not begun");
      if (op.returned)
        text += std::string(" returned ") + code_text(static_cast<Code>(op.returned - 1));
      if (op.final) text += " final";
      for (uint32_t c = 0; c < options_.chunks; ++c)
        if (op.held[c])
          text += " holds " + std::to_string(c) + " of epoch " + std::to_string(op.held[c]);
    }
  }
  return text;
}

std::string Run::numbers() const {
  size_t lives = 0, replays = 0;
  for (const Peers& peers : peers_) lives += peers.size(), replays += peers.replays();
  return "histories: peers " + std::to_string(lives) + ", coordinator " +
         std::to_string(coordinators_.size()) + "; replays " +
         std::to_string(replays + coordinators_.replays()) + "; messages " +
         std::to_string(messages_.size());
}

}  // namespace rhz::explore
