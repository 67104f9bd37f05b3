// The coordinator's process: the real Coordinator, its log in memory, and control connections.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "runtime/membership/coordinator.h"
#include "tests/sim/directory.h"
#include "tests/sim/gate.h"
#include "tests/sim/oracles.h"

namespace rhz::sim {

// A control connection, as both ends share it.
struct Connection {
  SessionId session = 0;
  NodeIndex peer = 0;
  StreamRef up, down;  // peer → coordinator, and back
};
using ConnectionRef = std::shared_ptr<Connection>;

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

  bool up() const { return gate_.alive; }
  // Null when nobody listens.
  ConnectionRef accept(NodeIndex peer);
  void send(const ConnectionRef& connection, ControlMessage message);  // the peer's
  void hang_up(const ConnectionRef& connection);  // the peer's, behind all it sent

  void start();
  void crash();
  void pause();
  void unpause();
  void cut_log();
  const Coordinator* core() const { return core_.get(); }
  uint64_t crashes_at_appends() const { return crashes_at_appends_; }
  uint64_t restarts() const { return restarts_; }

 private:
  void run(Action action);
  void settle();
  bool carry_out(CoordinatorAction&& action);
  void tick_at(Time when);

  World& world_;
  Network& network_;
  Directory& directory_;
  Oracles& oracles_;
  const Config& config_;
  Gate gate_;
  std::unique_ptr<Coordinator> core_;
  std::vector<LogEntry> log_;
  std::map<SessionId, ConnectionRef> sessions_;
  SessionId next_session_ = 1;
  Time armed_ = kNever;
  uint64_t incarnation_ = 0;
  uint64_t crashes_at_appends_ = 0, restarts_ = 0;
};

// As it comes out of the codec at the far end (every message of some seeds takes that way).
ControlMessage through_codec(const Config& config, ControlMessage message);

}  // namespace rhz::sim
