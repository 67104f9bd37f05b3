#include "tests/sim/coordinator_host.h"

#include "runtime/base/assert.h"
#include "runtime/wire/codec.h"

namespace rhz::sim {

ControlMessage through_codec(const Config& config, ControlMessage message) {
  if (!config.codec) return message;
  auto decoded = wire::decode_message(wire::encode(message));
  RHZ_ASSERT("codec", decoded.is_ok() && decoded.value() == message);
  return std::move(decoded).value();
}

CoordinatorHost::CoordinatorHost(World& world, Network& network, Directory& directory,
                                 Oracles& oracles, const Config& config)
    : world_(world), network_(network), directory_(directory), oracles_(oracles), config_(config) {
  gate_.alive = false;
}

void CoordinatorHost::start() {
  if (gate_.alive) return;
  gate_ = Gate{};
  ++incarnation_;
  restarts_ += incarnation_ > 1;
  armed_ = kNever;
  world_.trace("coordinator up", -1, log_.size());
  core_ = std::make_unique<Coordinator>(config_.run, log_, world_.now(), config_.coordinator);
  settle();
}

// Its sockets end behind what it wrote; what it was about to do is lost.
void CoordinatorHost::crash() {
  if (!gate_.alive) return;
  world_.trace("coordinator down", -1, log_.size());
  gate_.alive = false;
  gate_.waiting.clear();
  core_.reset();
  auto sessions = std::exchange(sessions_, {});
  for (auto& [id, connection] : sessions) {
    connection->up->closed = true;
    network_.carry(connection->down, [this, connection = connection] {
      directory_.run(connection->peer, [this, connection] {
        if (ControlClient* client = directory_.control(connection->peer))
          client->control_closed(connection);
      });
    });
  }
}

void CoordinatorHost::pause() {
  if (gate_.alive) gate_.paused = true;
}

void CoordinatorHost::unpause() {
  if (!std::exchange(gate_.paused, false)) return;
  auto waiting = std::exchange(gate_.waiting, {});
  for (Action& action : waiting) run(std::move(action));
}

void CoordinatorHost::cut_log() {
  run([this] { core_->cut_log(); });
}

void CoordinatorHost::run(Action action) {
  if (!gate_.pass(action)) return;
  action();
  settle();
}

ConnectionRef CoordinatorHost::accept(NodeIndex peer) {
  if (!gate_.alive) return nullptr;
  auto connection = std::make_shared<Connection>();
  connection->session = next_session_++;
  connection->peer = peer;
  connection->up = network_.open(peer, kCoordinator);
  connection->down = network_.open(kCoordinator, peer);
  sessions_[connection->session] = connection;
  return connection;
}

void CoordinatorHost::send(const ConnectionRef& connection, ControlMessage message) {
  network_.carry(
      connection->up,
      [this, connection,
       m = std::make_shared<ControlMessage>(through_codec(config_, std::move(message)))] {
        run([this, connection, m] {
          if (sessions_.contains(connection->session))
            core_->receive(world_.now(), connection->session, *m);
        });
      });
}

void CoordinatorHost::hang_up(const ConnectionRef& connection) {
  network_.carry(connection->up, [this, connection] {
    run([this, connection] {
      if (sessions_.erase(connection->session) > 0)
        core_->disconnected(world_.now(), connection->session);
    });
  });
}

void CoordinatorHost::settle() {
  if (!gate_.alive) return;
  tick_at(core_->tick(world_.now()));
  const uint64_t incarnation = incarnation_;
  for (auto actions = core_->take_actions(); !actions.empty(); actions = core_->take_actions()) {
    for (CoordinatorAction& action : actions) {
      if (!carry_out(std::move(action)) || incarnation != incarnation_) return;
    }
  }
}

// False: it died in the middle.
bool CoordinatorHost::carry_out(CoordinatorAction&& action) {
  const bool fatal = config_.append_crash > 0 && world_.faults.chance(config_.append_crash);
  const bool written = !fatal || world_.faults.chance(0.5);  // an append whose outcome nobody heard
  if (auto* a = std::get_if<AppendAction>(&action); a && written) {
    RHZ_ASSERT("sim", log_.empty() || a->entry.index == log_.back().index.next());
    log_.push_back(a->entry);
    oracles_.appended(a->entry);
    if (const auto* view = std::get_if<ViewRecord>(&a->entry.record))
      world_.trace("VIEW", -1, view->view.epoch.value, view->view.size(), view->view.cause.c_str());
    else if (const auto* resolve = std::get_if<ResolveRecord>(&a->entry.record))
      world_.trace("RESOLVE", -1, resolve->resolution.epoch.value,
                   resolve->resolution.groups.front().ops.size());
    else if (const auto* admit = std::get_if<AdmitRecord>(&a->entry.record))
      world_.trace("ADMIT", -1, admit->op.value, admit->joiners.size());
  } else if (auto* c = std::get_if<CutAction>(&action); c && written) {
    log_ = {c->snapshot};
    oracles_.cut(c->snapshot);
  } else if (auto* s = std::get_if<CoordinatorSend>(&action); s && !fatal) {
    oracles_.told(s->message);
    if (auto at = sessions_.find(s->session); at != sessions_.end()) {
      auto m = std::make_shared<ControlMessage>(through_codec(config_, std::move(s->message)));
      network_.carry(at->second->down, [this, connection = at->second, m] {
        directory_.run(connection->peer, [this, connection, m] {
          if (ControlClient* client = directory_.control(connection->peer))
            client->control_message(connection, *m);
        });
      });
    }
  } else if (auto* e = std::get_if<CloseSession>(&action); e && !fatal) {
    if (auto at = sessions_.find(e->session); at != sessions_.end()) {
      network_.carry(at->second->down, [this, connection = at->second] {
        directory_.run(connection->peer, [this, connection] {
          if (ControlClient* client = directory_.control(connection->peer))
            client->control_closed(connection);
        });
      });
      sessions_.erase(at);
    }
  }
  if (!fatal) return true;
  ++crashes_at_appends_;
  crash();
  world_.after(World::between(world_.faults, milliseconds(1), milliseconds(300)),
               [this] { start(); });
  return false;
}

void CoordinatorHost::tick_at(Time when) {
  if (when >= armed_) return;
  armed_ = std::max(when, world_.now() + microseconds(1));
  world_.at(armed_, [this, incarnation = incarnation_, at = armed_] {
    if (incarnation != incarnation_ || at != armed_) return;
    armed_ = kNever;
    run([] {});
  });
}

}  // namespace rhz::sim
