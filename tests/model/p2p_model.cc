// Explicit-state model of send and receive: one channel (from, to, tag), whose messages are
// numbered from its beginning, across epochs.  There is no agreement about them; of the rebuild
// protocol only the fence remains: VIEW seals, RESOLVE installs, frames count in their own epoch.
//
//   sender    keeps message k until DONE says that the receiver has consumed it, and sends
//   everything
//             unanswered again after each install
//   receiver  consumes message k for receive k only, answers with the number of consumed messages,
//             and answers again whatever comes twice, and after each install
//   both      end what is open as lost when a view without the partner is installed
//
// Checked: receive k gets message k, unspoiled; a send that returned by DONE was consumed; nobody
// reads a reused buffer; nothing hangs; no copy leaks.
//
//   p2p_model K=messages crash=n false=n round=n copy=0|1 mut=n
//
// round: changes of view that concern neither.  copy=1: a send returns at once and a copy is kept.
// Exit status: 0 no violation, 1 violation, 2 wrong arguments.
#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <set>
#include <vector>

namespace {

enum Mutant {
  kNoMutant,
  kNoResend,       // 1: nothing is sent again after an install
  kNoDedupe,       // 2: a message that comes twice is consumed twice
  kCountPerEpoch,  // 3: the numbers begin anew with each epoch
  kFreeAtSend,     // 4: a send returns when it was sent, and no copy is kept
  kDoneOnce,       // 5: DONE is not said again
  kStaleFrames,    // 6: frames of older epochs count
  kIgnoreLoss,     // 7: the loss of the partner ends nothing
  kDropEarly,      // 8: frames of newer epochs are dropped
  kNoQuiesce,      // 9: seal leaves sends running that still read the buffers
  kAnyDone,        // 10: DONE counts whatever its epoch (harmless: what is consumed stays consumed)
  kMutantCount,
};

struct Config {
  int messages = 2;
  int crashes = 1;
  int suspicions = 1;
  int rounds = 1;
  int copy = 0;
  int mutant = kNoMutant;
};

constexpr int kMaxOps = 3;
constexpr int kMaxLog = 12;
constexpr int kMaxFrames = 16;
enum Side : uint8_t { kSender, kReceiver };
enum Outcome : uint8_t { kOpen, kOk, kLost };

struct Peer {
  uint8_t alive = 1, evicted = 0, epoch = 1, sealed = 1, cursor = 0;
  uint8_t posted = 0;
  std::array<uint8_t, kMaxOps> outcome{};
  // Sender: answered messages.  Receiver: consumed ones.
  uint8_t upto = 0;
  // kCountPerEpoch: `upto` when the epoch began.
  uint8_t base = 0;
  auto operator<=>(const Peer&) const = default;
  bool live() const { return alive && !evicted; }
  bool frozen() const { return sealed != epoch; }
};

struct Frame {
  uint8_t data = 0, epoch = 0, number = 0;
  uint8_t message = 0;   // ghost: which message it carries
  uint8_t detached = 0;  // no longer reads the sender's buffer
  auto operator<=>(const Frame&) const = default;
};

struct Record {
  uint8_t resolve = 0, epoch = 0, members = 0;
  auto operator<=>(const Record&) const = default;
};

struct State {
  std::array<Peer, 2> peer;
  std::array<Record, kMaxLog> log{};
  uint8_t log_size = 0, newest = 1, members = 3;
  std::array<Frame, kMaxFrames> frame{};
  uint8_t frames = 0;
  uint8_t crashes = 0, suspicions = 0, rounds = 0;
  auto operator<=>(const State&) const = default;
};

class Model {
 public:
  explicit Model(const Config& config) : config_(config) {}
  bool run();

 private:
  bool mutated(Mutant m) const { return config_.mutant == m; }
  void violate(const char* what) {
    if (violation_ == nullptr) violation_ = what;
  }
  void successors(const State& state);
  void peer_moves(const State& state, int side);
  void coordinator_moves(const State& state);
  void faults(const State& state);
  void check_terminal(const State& state);

  bool may_deliver(const State& state, const Frame& frame) const;
  void deliver(State& state, int index);
  void consume(State& state, const Frame& frame);
  void answered(State& state, int upto);
  void post(State& state, int side);
  void observe(State& state, int side);
  void install(State& state, int side, const Record& record);
  void send(State& state, int message);
  void say_done(State& state);
  void emit(State& state, const Frame& frame);
  static void end_all(Peer& peer, Outcome outcome);
  static void quiesce(State& state);
  static void new_view(State& state, int members);
  void visit(State next, bool progress);

  const Config config_;
  const char* violation_ = nullptr;
  std::set<State> visited_;
  std::deque<const State*> queue_;
  bool progress_ = false;
};

void Model::emit(State& state, const Frame& frame) {
  if (state.frames == kMaxFrames) std::abort();
  state.frame[state.frames++] = frame;
}

void Model::send(State& state, int message) {
  Peer& sender = state.peer[kSender];
  const int base = mutated(kCountPerEpoch) ? sender.base : 0;
  emit(state, {1, sender.epoch, static_cast<uint8_t>(message - base), static_cast<uint8_t>(message),
               static_cast<uint8_t>(config_.copy)});
  if (config_.copy || mutated(kFreeAtSend)) sender.outcome[message] = kOk;
}

void Model::say_done(State& state) {
  const Peer& receiver = state.peer[kReceiver];
  if (receiver.upto > 0) emit(state, {0, receiver.epoch, receiver.upto, 0, 1});
}

void Model::end_all(Peer& peer, Outcome outcome) {
  for (int k = 0; k < peer.posted; k++) {
    if (peer.outcome[k] == kOpen) peer.outcome[k] = outcome;
  }
}

void Model::quiesce(State& state) {
  for (int i = 0; i < state.frames; i++) state.frame[i].detached = 1;
}

void Model::post(State& state, int side) {
  Peer& peer = state.peer[side];
  const int k = peer.posted++;
  int members = 3;
  for (int i = 0; i < peer.cursor; i++) {
    if (state.log[i].resolve) members = state.log[i].members;
  }
  if (members != 3 && !mutated(kIgnoreLoss)) {
    peer.outcome[k] = kLost;
    if (side == kSender) peer.upto = peer.posted;
  } else if (side == kSender && !peer.frozen()) {
    send(state, k);
  }
}

bool Model::may_deliver(const State& state, const Frame& frame) const {
  const Peer& to = state.peer[frame.data ? kReceiver : kSender];
  if (!to.live()) return false;
  const bool early = frame.epoch > to.epoch && !mutated(kDropEarly);
  if (early) return mutated(kAnyDone) && !frame.data;
  if (!frame.data || frame.epoch != to.epoch || to.frozen()) return true;
  const int base = mutated(kCountPerEpoch) ? to.base : 0;
  return frame.number < to.upto - base || (frame.number == to.upto - base && to.posted > to.upto);
}

void Model::deliver(State& state, int index) {
  const Frame frame = state.frame[index];
  state.frame[index] = state.frame[--state.frames];
  state.frame[state.frames] = {};
  const Peer& to = state.peer[frame.data ? kReceiver : kSender];
  bool counts = frame.epoch == to.epoch && !to.frozen();
  if (mutated(kStaleFrames)) counts = true;
  if (mutated(kAnyDone) && !frame.data) counts = true;
  if (!counts) return;
  frame.data ? consume(state, frame) : answered(state, frame.number);
}

void Model::consume(State& state, const Frame& frame) {
  Peer& receiver = state.peer[kReceiver];
  const int base = mutated(kCountPerEpoch) ? receiver.base : 0;
  if (frame.number < receiver.upto - base && !mutated(kNoDedupe)) {
    if (!mutated(kDoneOnce)) say_done(state);
    return;
  }
  const int k = receiver.upto;
  if (receiver.posted <= k) return;
  const Peer& sender = state.peer[kSender];
  const bool reused = sender.outcome[frame.message] != kOpen && sender.alive;
  if (!frame.detached && reused) violate("Z a frame was read from a reused buffer");
  if (frame.message != k) violate("D2 a receive got another message");
  if (receiver.outcome[k] != kOpen) violate("Z a message landed in a returned buffer");
  receiver.outcome[k] = kOk;
  receiver.upto++;
  say_done(state);
}

void Model::answered(State& state, int upto) {
  Peer& sender = state.peer[kSender];
  sender.upto = std::max<uint8_t>(sender.upto, static_cast<uint8_t>(upto));
  for (int k = 0; k < upto; k++) {
    if (sender.outcome[k] == kOpen) sender.outcome[k] = kOk;
    if (state.peer[kReceiver].upto <= k) violate("O a send returned that was not consumed");
  }
}

void Model::observe(State& state, int side) {
  Peer& peer = state.peer[side];
  const Record record = state.log[peer.cursor++];
  if (record.resolve) {
    install(state, side, record);
    return;
  }
  if (side == kSender && !mutated(kNoQuiesce)) quiesce(state);
  if (record.members >> side & 1) {
    peer.sealed = record.epoch;
  } else {
    peer.evicted = 1;
    end_all(peer, kLost);
  }
}

void Model::install(State& state, int side, const Record& record) {
  Peer& peer = state.peer[side];
  peer.epoch = record.epoch;
  peer.sealed = std::max(peer.sealed, record.epoch);
  peer.base = mutated(kCountPerEpoch) ? peer.upto : uint8_t{0};
  if (record.members != 3) {
    if (!mutated(kIgnoreLoss)) {
      end_all(peer, kLost);
      if (side == kSender) peer.upto = peer.posted;  // the copies are free
    }
  } else if (side == kReceiver) {
    if (!mutated(kDoneOnce)) say_done(state);
  } else {
    for (int k = peer.upto; k < peer.posted && !mutated(kNoResend); k++) send(state, k);
  }
}

void Model::new_view(State& state, int members) {
  state.newest++;
  state.members = static_cast<uint8_t>(members);
  state.log[state.log_size++] = {0, state.newest, state.members};
}

void Model::visit(State next, bool progress) {
  progress_ |= progress;
  // Frames that nobody can count any more.
  const bool fenced = !mutated(kStaleFrames) && !mutated(kAnyDone);
  for (int i = 0; i < next.frames && fenced;) {
    const Frame& frame = next.frame[i];
    const Peer& to = next.peer[frame.data ? kReceiver : kSender];
    const bool late = frame.epoch < to.epoch || (frame.epoch == to.epoch && to.frozen());
    if (to.live() && !late) {
      i++;
    } else {
      next.frame[i] = next.frame[--next.frames];
      next.frame[next.frames] = {};
    }
  }
  std::sort(next.frame.begin(), next.frame.begin() + next.frames);
  // The same frame twice is no more than once.
  auto* end = std::unique(next.frame.begin(), next.frame.begin() + next.frames);
  std::fill(end, next.frame.begin() + next.frames, Frame{});
  next.frames = static_cast<uint8_t>(end - next.frame.begin());
  const auto [place, added] = visited_.insert(next);
  if (added) queue_.push_back(&*place);
}

void Model::peer_moves(const State& state, int side) {
  const Peer& peer = state.peer[side];
  if (!peer.live()) return;
  if (peer.posted < config_.messages) {
    State next = state;
    post(next, side);
    visit(next, true);
  }
  if (peer.cursor < state.log_size) {
    State next = state;
    observe(next, side);
    visit(next, true);
  }
}

void Model::coordinator_moves(const State& state) {
  bool sealed = state.members != 0;
  for (int side = 0; side < 2; side++) {
    if (!(state.members >> side & 1)) continue;
    const Peer& peer = state.peer[side];
    sealed &= peer.sealed == state.newest;
    if (peer.alive) continue;
    State next = state;
    new_view(next, state.members & ~(1 << side));
    visit(next, true);
  }
  const bool pending = state.log_size > 0 && !state.log[state.log_size - 1].resolve;
  if (!pending || !sealed) return;
  State next = state;
  next.log[next.log_size++] = {1, state.newest, state.members};
  visit(next, true);
}

void Model::faults(const State& state) {
  for (int side = 0; side < 2; side++) {
    if (!(state.members >> side & 1) || !state.peer[side].alive) continue;
    if (state.crashes < config_.crashes && state.peer[side].live()) {
      State next = state;
      next.peer[side].alive = 0;
      if (side == kSender) quiesce(next);
      next.crashes++;
      visit(next, false);
    }
    if (state.suspicions < config_.suspicions) {
      State next = state;
      new_view(next, state.members & ~(1 << side));
      next.suspicions++;
      visit(next, false);
    }
  }
  if (state.rounds < config_.rounds && state.members != 0) {
    State next = state;
    new_view(next, state.members);
    next.rounds++;
    visit(next, false);
  }
}

void Model::successors(const State& state) {
  for (int i = 0; i < state.frames; i++) {
    if (!may_deliver(state, state.frame[i])) continue;
    State next = state;
    deliver(next, i);
    visit(next, true);
  }
  for (int side = 0; side < 2; side++) peer_moves(state, side);
  coordinator_moves(state);
  faults(state);
}

void Model::check_terminal(const State& state) {
  for (int side = 0; side < 2; side++) {
    const Peer& peer = state.peer[side];
    if (!peer.live()) continue;
    for (int k = 0; k < peer.posted; k++) {
      if (peer.outcome[k] == kOpen) violate("T stuck: a send or receive never ends");
    }
    if (side == kSender && peer.upto < peer.posted && !mutated(kFreeAtSend)) {
      violate("M leak: a copy is never freed");
    }
  }
}

bool Model::run() {
  visit(State{}, true);
  std::size_t terminal = 0;
  while (!queue_.empty() && violation_ == nullptr) {
    const State& state = *queue_.front();
    queue_.pop_front();
    progress_ = false;
    successors(state);
    if (progress_ || violation_ != nullptr) continue;
    terminal++;
    check_terminal(state);
  }
  std::printf(
      "p2p K=%d crash<=%d false<=%d round<=%d copy=%d mut=%d: states=%zu terminal=%zu %s%s\n",
      config_.messages, config_.crashes, config_.suspicions, config_.rounds, config_.copy,
      config_.mutant, visited_.size(), terminal, violation_ ? "VIOLATION: " : "ok",
      violation_ ? violation_ : "");
  return violation_ == nullptr;
}

bool parse(const char* argument, Config& config) {
  const struct {
    const char* name;
    int* value;
    int high;
  } options[] = {
      {"K=", &config.messages, kMaxOps}, {"crash=", &config.crashes, 2},
      {"false=", &config.suspicions, 2}, {"round=", &config.rounds, 2},
      {"copy=", &config.copy, 1},        {"mut=", &config.mutant, kMutantCount - 1},
  };
  for (const auto& option : options) {
    const std::size_t length = std::strlen(option.name);
    if (std::strncmp(argument, option.name, length) != 0) continue;
    char* end = nullptr;
    const long value = std::strtol(argument + length, &end, 10);
    if (end == argument + length || *end != '\0' || value < 0 || value > option.high) return false;
    *option.value = static_cast<int>(value);
    return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Config config;
  for (int i = 1; i < argc; i++) {
    if (parse(argv[i], config)) continue;
    std::fprintf(stderr, "unknown option, or value out of range: %s\n", argv[i]);
    return 2;
  }
  return Model(config).run() ? 0 : 1;
}
