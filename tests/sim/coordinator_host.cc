#include "tests/sim/coordinator_host.h"

#include "runtime/base/assert.h"
#include "runtime/wire/codec.h"
#include "tests/sim/disk.h"

namespace rhz::sim {

ControlMessage through_codec(const Config& config, ControlMessage message) {
  if (!config.codec) return message;
  auto decoded = wire::decode_message(wire::encode(message));
  RHZ_ASSERT("codec", decoded.is_ok() && decoded.value() == message);
  return std::move(decoded).value();
}

CoordinatorHost::CoordinatorHost(World& world, Network& network, Directory& directory,
                                 Oracles& oracles, const Config& config)
    : world_(world), network_(network), directory_(directory), oracles_(oracles), config_(config) {}

void CoordinatorHost::start() {
  if (up()) return;
  if (std::exchange(flip_, false)) {
    // Whoever runs it tries again, or restores the log: bits flip on their way from a disk as well.
    const bool refused = refuses_a_flip(config_.run.run_id, log_, world_.faults);
    world_.trace("log flipped", -1, log_.size(), refused);
    return world_.after(milliseconds(20), [this] { start(); });
  }
  ++incarnations_;
  world_.trace("coordinator up", -1, log_.size());
  now_ = std::make_shared<Incarnation>();
  now_->core = std::make_unique<Coordinator>(config_.run, log_, world_.now(), config_.coordinator);
  settle(now_);
}

void CoordinatorHost::crash() {
  if (up()) die(now_);
}

// Its sockets end behind what it wrote; what it was about to do is lost.
void CoordinatorHost::die(Ref who) {
  if (!std::exchange(who->gate.alive, false)) return;
  world_.trace("coordinator down", -1, log_.size(), who->zombie);
  who->gate.waiting.clear();
  for (auto& [id, connection] : std::exchange(who->sessions, {})) {
    connection->up->closed = true;
    close(connection);
  }
}

void CoordinatorHost::pause() {
  if (up()) now_->gate.paused = true;
}

void CoordinatorHost::unpause() {
  if (now_) wake(now_);
}

void CoordinatorHost::wake(Ref who) {
  if (!std::exchange(who->gate.paused, false)) return;
  auto waiting = std::exchange(who->gate.waiting, {});
  for (Action& action : waiting) run(who, std::move(action));
}

void CoordinatorHost::fail_appends(Duration time) {
  append_fails_ = true;
  disk_full_until_ = std::max(disk_full_until_, world_.now() + time);
}

// Of a coordinator whose append failed, what it wrote is for the next one to make sense of.
void CoordinatorHost::write(const LogEntry& entry, bool fatal, bool fails) {
  const bool full = world_.now() < disk_full_until_;
  if (fails)
    log_ = after_failure(config_.run.run_id, log_, entry, full, world_.faults);
  else if (fatal)
    log_ = after_crash(config_.run.run_id, log_, entry, world_.faults);
  else
    log_.push_back(entry);
  if (!log_.empty() && log_.back().index == entry.index) oracles_.appended(entry);
}

void CoordinatorHost::cut_log() {
  if (now_) run(now_, [who = now_] { who->core->cut_log(); });
}

bool CoordinatorHost::usurp(Duration delay, Duration later) {
  if (!up() || zombies_.size() > 3) return false;
  world_.trace("zombie", -1, log_.size());
  const IncarnationRef old = std::exchange(now_, nullptr);
  old->gate.paused = old->zombie = true;
  zombies_.push_back(old);
  world_.after(delay, [this] { start(); });
  world_.after(delay + later, [this, old] { wake(old); });
  return true;
}

void CoordinatorHost::end_zombies() {
  for (const IncarnationRef& zombie : std::exchange(zombies_, {})) die(zombie);
}

void CoordinatorHost::run(Ref who, Action action) {
  const IncarnationRef keep = who;
  if (!keep->gate.pass(action)) return;
  action();
  settle(keep);
}

ConnectionRef CoordinatorHost::accept(NodeIndex peer) {
  IncarnationRef host = now_;
  for (const IncarnationRef& zombie : zombies_)
    if (zombie->gate.alive && world_.scheduling.chance(0.3)) host = zombie;
  if (!host || !host->gate.alive) return nullptr;
  auto connection = std::make_shared<Connection>();
  connection->session = next_session_++;
  connection->peer = peer;
  connection->up = network_.open(peer, kCoordinator);
  connection->down = network_.open(kCoordinator, peer);
  connection->host = host;
  host->sessions[connection->session] = connection;
  return connection;
}

void CoordinatorHost::send(const ConnectionRef& connection, ControlMessage message) {
  if (const auto* sealed = std::get_if<SealedMessage>(&message)) oracles_.reported(connection->peer, sealed->report);
  auto m = std::make_shared<ControlMessage>(through_codec(config_, std::move(message)));
  network_.carry(connection->up, [this, connection, m] {
    const IncarnationRef host = connection->host.lock();
    if (!host) return;
    run(host, [this, host, connection, m] {
      if (host->sessions.contains(connection->session))
        host->core->receive(world_.now(), connection->session, *m);
    });
  });
}

void CoordinatorHost::hang_up(const ConnectionRef& connection) {
  network_.carry(connection->up, [this, connection] {
    const IncarnationRef host = connection->host.lock();
    if (!host) return;
    run(host, [this, host, connection] {
      if (host->sessions.erase(connection->session) > 0)
        host->core->disconnected(world_.now(), connection->session);
    });
  });
}

void CoordinatorHost::settle(Ref who) {
  if (!who->gate.alive) return;
  tick_at(who, who->core->tick(world_.now()));
  for (auto actions = who->core->take_actions(); !actions.empty();
       actions = who->core->take_actions())
    for (CoordinatorAction& action : actions)
      if (!carry_out(who, std::move(action)) || !who->gate.alive) return;
}

void CoordinatorHost::tell(const ConnectionRef& connection, ControlMessage message) {
  auto m = std::make_shared<ControlMessage>(through_codec(config_, std::move(message)));
  network_.carry(connection->down, [this, connection, m] {
    directory_.run(connection->peer, [this, connection, m] {
      if (ControlClient* client = directory_.control(connection->peer))
        client->control_message(connection, *m);
    });
  });
}

void CoordinatorHost::close(const ConnectionRef& connection) {
  network_.carry(connection->down, [this, connection] {
    directory_.run(connection->peer, [this, connection] {
      if (ControlClient* client = directory_.control(connection->peer))
        client->control_closed(connection);
    });
  });
}

// False: it died in the middle.
bool CoordinatorHost::carry_out(Ref who, CoordinatorAction&& action) {
  bool fatal = config_.append_crash > 0 && !spared_ && world_.faults.chance(config_.append_crash);
  const bool disk =
      std::holds_alternative<AppendAction>(action) || std::holds_alternative<CutAction>(action);
  if (disk && who->zombie) {  // the log is another's: the append fails, and the driver stops there
    die(who);
    return false;
  }
  if (auto* a = std::get_if<AppendAction>(&action)) {
    const bool fails = std::exchange(append_fails_, false) || world_.now() < disk_full_until_;
    if (fails) world_.trace("append fails", -1, a->entry.index.value);
    write(a->entry, fatal, fails);
    fatal |= fails;
  } else if (auto* c = std::get_if<CutAction>(&action)) {
    if (!fatal || world_.faults.chance(0.5)) {
      log_ = {c->snapshot};
      oracles_.cut(c->snapshot);
    }
  } else if (auto* s = std::get_if<CoordinatorSend>(&action); s && !fatal) {
    oracles_.told(s->message);
    if (auto at = who->sessions.find(s->session); at != who->sessions.end())
      tell(at->second, std::move(s->message));
  } else if (auto* e = std::get_if<CloseSession>(&action); e && !fatal) {
    if (auto at = who->sessions.find(e->session); at != who->sessions.end()) {
      close(at->second);
      who->sessions.erase(at);
    }
  }
  if (!fatal) return true;
  die(who);
  if (!who->zombie)
    world_.after(World::between(world_.faults, milliseconds(1), milliseconds(300)),
                 [this] { start(); });
  return false;
}

void CoordinatorHost::tick_at(Ref who, Time when) {
  if (when >= who->armed) return;
  who->armed = std::max(when, world_.now() + microseconds(1));
  world_.at(who->armed, [this, who = IncarnationRef(who), at = who->armed] {
    if (at != who->armed) return;
    who->armed = kNever;
    run(who, [] {});
  });
}

}  // namespace rhz::sim
