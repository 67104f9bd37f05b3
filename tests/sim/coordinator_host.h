// The coordinator's process: the real Coordinator, its log on a simulated disk, and control
// connections.  A *zombie* is an older one that still runs and talks to whoever is connected to it,
// but has lost the log.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "runtime/membership/coordinator.h"
#include "tests/sim/directory.h"
#include "tests/sim/gate.h"
#include "tests/sim/oracles.h"

namespace rhz::sim {

struct Incarnation;

// A control connection, as both ends share it.
struct Connection {
  SessionId session = 0;
  NodeIndex peer = 0;
  StreamRef up, down;  // peer → coordinator, and back
  std::weak_ptr<Incarnation> host;
};
using ConnectionRef = std::shared_ptr<Connection>;

struct Incarnation {  // one process
  Gate gate;
  std::unique_ptr<Coordinator> core;
  std::map<SessionId, ConnectionRef> sessions;
  Time armed = kNever;
  bool zombie = false;
};
using IncarnationRef = std::shared_ptr<Incarnation>;

class ControlClient {  // a peer's end
 public:
  virtual ~ControlClient() = default;
  virtual void control_message(const ConnectionRef& connection, const ControlMessage& message) = 0;
  virtual void control_closed(const ConnectionRef& connection) = 0;
};

class CoordinatorHost {
 public:
  CoordinatorHost(World& world, Network& network, Directory& directory, Oracles& oracles,
                  const Config& config);

  bool up() const { return now_ && now_->gate.alive; }
  // Null when nobody listens.  A zombie still listens to some.
  ConnectionRef accept(NodeIndex peer);
  void send(const ConnectionRef& connection, ControlMessage message);  // the peer's
  void hang_up(const ConnectionRef& connection);  // the peer's, behind all it sent

  void start();
  void crash();
  void pause();
  void unpause();
  // It crashes no more, and its disk is sound.
  void spare() { spared_ = true, append_fails_ = flip_ = false, disk_full_until_ = {}; }
  void cut_log();
  // Appends fail, the next one (zero) or all for so long; each ends the process.
  void fail_appends(Duration time);
  void flip_log() { flip_ = true; }  // a bit of what is read of it at the next start
  // The present one stands still, another one begins from the log after `delay`; `later` still the
  // old one wakes up.
  bool usurp(Duration delay, Duration later);
  void end_zombies();
  const Coordinator* core() const { return up() ? now_->core.get() : nullptr; }
  uint64_t restarts() const { return incarnations_ > 0 ? incarnations_ - 1 : 0; }

 private:
  using Ref = const IncarnationRef&;
  void run(Ref who, Action action);
  void settle(Ref who);
  bool carry_out(Ref who, CoordinatorAction&& action);
  void write(const LogEntry& entry, bool fatal, bool fails);
  void tell(const ConnectionRef& connection, ControlMessage message);
  void close(const ConnectionRef& connection);
  void die(Ref who);
  void wake(Ref who);
  void tick_at(Ref who, Time when);

  World& world_;
  Network& network_;
  Directory& directory_;
  Oracles& oracles_;
  const Config& config_;
  IncarnationRef now_;
  std::vector<IncarnationRef> zombies_;
  std::vector<LogEntry> log_;
  SessionId next_session_ = 1;
  uint64_t incarnations_ = 0;
  bool spared_ = false;
  bool append_fails_ = false, flip_ = false;
  Time disk_full_until_{};
};

// As it comes out of the codec at the far end (every message of some seeds takes that way).
ControlMessage through_codec(const Config& config, ControlMessage message);

}  // namespace rhz::sim
