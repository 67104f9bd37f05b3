#include "tests/sim/process.h"

#include "runtime/base/assert.h"

namespace rhz::sim {

Process::Process(World& world, Network& network, Directory& directory, CoordinatorHost& coordinator,
                 Oracles& oracles, const Config& config, NodeIndex self, Slot slot)
    : world_(world),
      network_(network),
      directory_(directory),
      coordinator_(coordinator),
      oracles_(oracles),
      config_(config),
      self_(self),
      id_(directory.id_of(self)),
      cpu_(mix64(config.seed) ^ mix64(self + 0xc9c1)),
      pages_(world, config.page_time) {
  rate_ = 1 + config.drift * (2 * world.topology.unit() - 1);
  offset_ = World::between(world.topology, Duration(0), std::chrono::hours(1));
  pool_ = std::make_unique<BufferPool>();
  state_ = std::make_unique<recovery::State>();
  trainer_ = std::make_unique<Trainer>(world, config, oracles, directory, self, *state_);
  transport_ = std::make_unique<SimTransport>(world, network, directory, config, self,
                                              wire::run_hash(config.run.run_id));
  NodeOptions options;
  options.run_id = config.run.run_id;
  // Two to a host, so that a hierarchical op has hosts to tell apart.
  options.self = {id_, slot, slot.value / 2, transport_->endpoints()};
  options.timing = config.member;
  options.limits = config.limits;
  options.message_limits = config.message_limits;
  options.cores = 1 + slot.value % 3;
  options.reduce_ps_per_kib = 100'000;
  if (config.bulk_sync) options.bulk_bytes = 0;
  if (config.short_of_memory && self % 2 == 0) options.spare_memory = [] { return uint64_t{0}; };
  options.pages = &pages_;
  options.copy_step_bytes = state_->shared_bytes() / config.copy_steps + 1;
  node_ = std::make_unique<Node>(
      std::move(options), [this] { return clock(); }, *transport_, *pool_, *state_);
  node_->set_follows(config.follows);
  trainer_->attach(*node_, [this] { return clock(); });
}

Process::~Process() { die(); }

void Process::start() {
  world_.trace("begins", static_cast<int>(self_));
  dial(Duration::zero());
  watch_control();
}

Time Process::clock() const {
  return offset_ + Time(static_cast<int64_t>(static_cast<double>(world_.now().count()) * rate_));
}

Time Process::world_time(Time local) const {
  if (local == kNever) return kNever;
  return Time(static_cast<int64_t>(static_cast<double>((local - offset_).count()) / rate_) + 1);
}

void Process::run(Action action) {
  if (busy_ && gate_.alive) return tasks_.push_back(std::move(action));
  if (!gate_.pass(action)) return;
  action();
  settle();
  occupy();
}

// What comes while it is at work waits.
void Process::occupy() {
  if (config_.cpu_us == 0 || !gate_.alive) return;
  busy_ = true;
  const auto cost = Duration(static_cast<int64_t>(config_.cpu_us * 1e3 * (0.5 + cpu_.unit())));
  world_.after(cost, [this] {
    busy_ = false;
    while (gate_.alive && !busy_ && !tasks_.empty()) {
      Action next = std::move(tasks_.front());
      tasks_.pop_front();
      run(std::move(next));
    }
  });
}

// From this moment on nothing leaves it; it is gone as soon as what is on its stack has returned.
bool Process::dies_at(Mark mark) {
  if (doom_ != mark || dying_ || !gate_.alive) return false;
  world_.trace("dies", static_cast<int>(self_), static_cast<uint64_t>(mark), 0, kMarkNames[static_cast<size_t>(mark)]);
  dying_ = gate_.paused = true;
  transport_->mute();
  world_.after(Duration::zero(), [self = self_, &directory = directory_] { directory.gone(self); });
  return true;
}

// What the driver does after each event: time, control messages, the program.
void Process::settle() {
  if (settling_ || !gate_.alive) return;
  settling_ = true;
  const Time next = world_time(node_->tick(clock()));
  trainer_->poll();
  auto messages = node_->take_control();
  for (ControlMessage& message : messages) {
    const bool report = std::holds_alternative<SealedMessage>(message);
    if (report) directory_.reached(self_, Mark::kReporting);
    if (connection_ && !dying_) coordinator_.send(connection_, std::move(message));
    if (report) directory_.reached(self_, Mark::kReported);
  }
  const Epoch epoch = node_->communicator().epoch();
  if (epoch != noted_epoch_) {
    noted_epoch_ = epoch;
    world_.trace("installed", static_cast<int>(self_), epoch.value, node_->view().size());
    oracles_.installed(self_, node_->view());
    directory_.reached(self_, Mark::kInstalled);
  }
  note_bulk();
  if (node_->synced() && !noted_sync_) stumble();
  if (node_->ended() && !noted_end_) {
    noted_end_ = true;
    world_.trace("ended", static_cast<int>(self_), 0, 0, node_->end_status().text().c_str());
    exit_later();
  }
  settling_ = false;
  if (next >= armed_) return;
  armed_ = std::max(next, world_.now() + microseconds(1));
  world_.at(armed_, [self = self_, &directory = directory_, this, at = armed_] {
    directory.run(self, [this, at] {
      if (armed_ == at) armed_ = kNever;
    });
  });
}

// What it got while the members went on must be what they had at one moment.
void Process::note_bulk() {
  const SyncNumbers::Pull& bulk = node_->sync_numbers().bulk;
  if (bulk.number == noted_bulk_) return;
  noted_bulk_ = bulk.number;
  world_.trace("bulk", static_cast<int>(self_), bulk.fetched_bytes, bulk.equal_bytes);
  if (state_->revision()) oracles_.pulled(self_, trainer_->step(), trainer_->state_hash());
}

// A joiner loses its control connection just when it has the state: it is told of it again, and
// perhaps becomes a member meanwhile.
void Process::stumble() {
  noted_sync_ = true;
  const bool off = config_.per_second[static_cast<size_t>(Fault::kControlReset)] == 0;
  if (off || !world_.topology.chance(0.4)) return;
  world_.after(World::between(world_.topology, Duration(0), 4 * config_.base_latency),
               [self = self_, &directory = directory_, this] {
                 directory.run(self, [this] { drop_control(); });
               });
}

// The program sees that its peer is over, and ends; it may say goodbye.
void Process::exit_later() {
  const bool polite = world_.topology.chance(0.5);
  world_.after(World::between(world_.topology, Duration(0), milliseconds(20)),
               [self = self_, &directory = directory_, polite, this] {
                 if (polite) directory.run(self, [this] { transport_->close(Time{}, [] {}); });
                 directory.gone(self);
               });
}

void Process::die() {
  if (!std::exchange(gate_.alive, false)) return;
  gate_.waiting.clear();
  tasks_.clear();
  if (auto connection = std::exchange(connection_, nullptr)) {
    connection->down->closed = true;
    coordinator_.hang_up(connection);
  }
  node_.reset();
  transport_.reset();
  trainer_.reset();
  state_.reset();
  pool_.reset();
}

void Process::pause() {
  if (gate_.alive) gate_.paused = true;
}

void Process::unpause() {
  if (!gate_.alive || dying_ || !std::exchange(gate_.paused, false)) return;
  world_.trace("continues", static_cast<int>(self_));
  auto waiting = std::exchange(gate_.waiting, {});
  for (Action& action : waiting) run(std::move(action));
}

// ---- the control connection

void Process::dial(Duration delay) {
  const Duration there_and_back =
      network_.latency(self_, kCoordinator) + network_.latency(kCoordinator, self_);
  world_.after(delay + there_and_back, [self = self_, &directory = directory_, this] {
    directory.run(self, [this] {
      if (connection_ || node_->ended()) return;
      const bool cut = network_.is_cut(self_, kCoordinator) || network_.is_cut(kCoordinator, self_);
      if (!cut) connection_ = coordinator_.accept(self_);
      if (!connection_) {
        const uint32_t backoff = std::min(++dials_, 5u);
        return dial(World::between(world_.scheduling, milliseconds(2), milliseconds(10 * backoff)));
      }
      dials_ = 0;
      heard_ = world_.now();
      node_->control_up(clock());
    });
  });
}

void Process::control_message(const ConnectionRef& connection, const ControlMessage& message) {
  if (connection != connection_) return;
  heard_ = world_.now();
  look_into(message);
  if (!dying_) node_->control(clock(), message);
}

void Process::look_into(const ControlMessage& message) {
  const auto* entries = std::get_if<EntriesMessage>(&message);
  if (!entries || doom_ == Mark::kCount) return;
  for (const LogEntry& entry : entries->entries) {
    if (std::holds_alternative<ViewRecord>(entry.record)) directory_.reached(self_, Mark::kSealing);
    if (std::holds_alternative<ResolveRecord>(entry.record)) directory_.reached(self_, Mark::kResolving);
  }
}

void Process::control_closed(const ConnectionRef& connection) {
  if (connection != connection_) return;
  connection_ = nullptr;
  node_->control_down(clock());
  dial(Duration::zero());
}

void Process::drop_control() {
  if (!connection_) return;
  auto connection = std::exchange(connection_, nullptr);
  connection->down->closed = true;
  coordinator_.hang_up(connection);
  node_->control_down(clock());
  dial(Duration::zero());
}

// A coordinator that says nothing for too long is looked for anew.
void Process::watch_control() {
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  world_.after(suspicion / 2, [self = self_, &directory = directory_, this, suspicion] {
    directory.run(self, [this, suspicion] {
      if (connection_ && world_.now() - heard_ > 2 * suspicion) drop_control();
      watch_control();
    });
  });
}

std::string Process::text() const {
  std::string line = "p" + std::to_string(self_);
  if (!gate_.alive) return line + " gone";
  const Member& member = node_->member();
  line += gate_.paused ? " paused" : "";
  line += " installed " + std::to_string(node_->communicator().epoch().value) + " seen " +
          std::to_string(member.view().epoch.value) + " log " +
          std::to_string(member.last_index().value) + (connection_ ? "" : " no control") +
          (node_->ended() ? " ended: " + node_->end_status().text() : "") + "; " +
          trainer_->text() + "; next " + std::to_string(node_->communicator().next_seq().value);
  for (const auto& [group, communicator] : node_->groups().all()) line += group_text(group, *communicator);
  line += transport_->text();
  return line;
}

std::string Process::group_text(GroupId group, const Communicator& communicator) {
  std::string line;
  if (group != kRootGroup)
    line += "\n      group " + std::to_string(group.value) + " of " + std::to_string(communicator.view().size()) +
            (communicator.closing() ? " closing" : "") + " next " + std::to_string(communicator.next_seq().value) +
            " queued " + std::to_string(communicator.queued());
  for (const auto& op : communicator.open_ops()) {
    line += "\n      op " + std::to_string(op.seq.value) + " kind " +
            std::to_string(static_cast<int>(op.kind)) + (op.full ? " full" : "") +
            (op.released ? " released" : "") + " held";
    for (const HeldRun& run : op.held)
      line += " [" + std::to_string(run.first) + "+" + std::to_string(run.count) + " e" +
              std::to_string(run.lineage.value) + "]";
  }
  return line;
}

}  // namespace rhz::sim
