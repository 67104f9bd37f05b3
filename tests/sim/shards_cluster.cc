#include "tests/sim/shards_cluster.h"

#include <algorithm>

#include "runtime/base/assert.h"
#include "runtime/wire/codec.h"
#include "tests/sim/disk.h"

namespace rhz::sim {
namespace {

RunConfig run_config(const ShardsConfig& config) {
  RunConfig run;
  run.run_id = "sim";
  run.world = config.hosts;
  run.max_world = config.hosts * 4;
  run.heartbeat_ms = 50;
  run.suspicion_ms = 500;
  return run;
}

}  // namespace

ShardsCluster::ShardsCluster(const ShardsConfig& config, bool timeline)
    : config_(config), world_(config.seed) {
  world_.timeline = timeline;
}

Duration ShardsCluster::latency() {
  Duration d = World::between(world_.latency, config_.latency / 2, config_.latency * 2);
  if (config_.spike > 0 && world_.latency.chance(config_.spike)) d *= 10;
  return d;
}

// ---- vaults and trainers

void ShardsCluster::start_vault(uint32_t host) {
  if (vault_at_.contains(host)) return;
  auto vault = std::make_unique<VaultProcess>(config_.vault_limit);
  vault->label = {{1, next_id_++},
                  "h" + std::to_string(host),
                  config_.racks > 0 ? "r" + std::to_string(host % config_.racks) : ""};
  vault->host = host;
  const Holder label = vault->label;
  world_.trace("vault up", static_cast<int>(host), label.vault.low);
  oracle_.vault_up(label, vault->store);
  vault_at_[host] = label.vault;
  vaults_[label.vault] = std::move(vault);
  all_trainers(latency(), [label](ShardsTrainer& trainer) { trainer.vault_joined(label); });
}

void ShardsCluster::kill_vault(uint32_t host) {
  const auto at = vault_at_.find(host);
  if (at == vault_at_.end()) return;
  const PeerId id = at->second;
  world_.trace("vault down", static_cast<int>(host), id.low);
  ++outcome_.losses;
  vault_at_.erase(at);
  vaults_.erase(id);
  oracle_.vault_down(id);
  all_trainers(config_.detection, [id](ShardsTrainer& trainer) { trainer.vault_lost(id); });
  world_.after(World::between(world_.faults, milliseconds(5), milliseconds(300)),
               [this, host] { start_vault(host); });
}

void ShardsCluster::start_trainer(uint32_t host) {
  if (trainer_at_.contains(host)) return;
  auto process = std::make_unique<TrainerProcess>();
  process->host = host;
  MemberInfo self;
  self.id = {2, next_id_++};
  self.host = host;
  self.slot = kAnySlot;
  std::vector<Holder> vaults;
  for (const auto& [id, vault] : vaults_) vaults.push_back(vault->label);
  process->core = std::make_unique<ShardsTrainer>(config_, *this, self, std::move(vaults),
                                                  world_.workload.next());
  world_.trace("trainer up", static_cast<int>(host), self.id.low);
  trainer_at_[host] = self.id;
  trainers_[self.id] = std::move(process);
  dial(self.id);
  tick_trainer(self.id);
}

void ShardsCluster::kill_trainer(uint32_t host) {
  const auto at = trainer_at_.find(host);
  if (at == trainer_at_.end()) return;
  const PeerId id = at->second;
  world_.trace("trainer down", static_cast<int>(host), id.low);
  ++outcome_.losses;
  const SessionId session = trainers_.at(id)->session;
  trainers_.erase(id);
  trainer_at_.erase(at);
  // Its control connection ends, behind what it had sent.
  in_order(id, {}, [this, session, office = office_] {
    if (!office || office != office_) return;
    office->sessions.erase(session);
    office->core->disconnected(world_.now(), session);
    settle();
  });
  for (const auto& [other, process] : trainers_)
    world_.after(config_.detection, [this, other = other, id] {
      on_trainer(other, [this, id](ShardsTrainer& t) { t.peer_died(world_.now(), id); });
    });
  world_.after(World::between(world_.faults, milliseconds(5), milliseconds(300)),
               [this, host] { start_trainer(host); });
}

void ShardsCluster::on_trainer(PeerId id, const std::function<void(ShardsTrainer&)>& what) {
  const auto at = trainers_.find(id);
  if (at == trainers_.end()) return;
  Action action = [this, id, what] {
    if (const auto now = trainers_.find(id); now != trainers_.end()) what(*now->second->core);
  };
  if (at->second->gate.pass(action)) action();
}

void ShardsCluster::all_trainers(Duration delay, std::function<void(ShardsTrainer&)> what) {
  world_.after(delay, [this, what = std::move(what)] {
    std::vector<PeerId> ids;
    for (const auto& [id, process] : trainers_) ids.push_back(id);
    for (const PeerId id : ids) on_trainer(id, what);
  });
}

void ShardsCluster::tick_trainer(PeerId id) {
  const auto at = trainers_.find(id);
  if (at == trainers_.end()) return;
  // One that runs again must not have a tick waiting for each that it missed.
  if (!at->second->gate.paused) at->second->core->tick(world_.now());
  if (trainers_.contains(id)) world_.after(config_.tick, [this, id] { tick_trainer(id); });
}

// ---- between trainers and vaults

// Streams: what is said first arrives first.
void ShardsCluster::in_order(PeerId from, PeerId to, Action action) {
  Time& last = last_[{from, to}];
  last = std::max(last + nanoseconds(1), world_.now() + latency());
  world_.at(last, std::move(action));
}

void ShardsCluster::send_vault(PeerId trainer, uint64_t job, const recovery::VaultSend& send) {
  auto bytes = std::make_shared<std::vector<std::byte>>(send.request.bytes.begin(),
                                                        send.request.bytes.end());
  Action arrive = [this, trainer, vault = send.vault, job, request = send.request, bytes] {
    deliver(trainer, vault, job, request, bytes);
  };
  // Ranges overtake each other and everything else; begin, seal and discard keep their order.
  using Verb = recovery::VaultVerb;
  const bool ranged = send.request.verb == Verb::put || send.request.verb == Verb::get ||
                      send.request.verb == Verb::digests;
  if (ranged)
    world_.after(latency(), std::move(arrive));
  else
    in_order(trainer, send.vault, std::move(arrive));
}

void ShardsCluster::deliver(PeerId trainer, PeerId vault, uint64_t job,
                            const recovery::VaultRequest& given,
                            const std::shared_ptr<std::vector<std::byte>>& bytes) {
  const auto at = vaults_.find(vault);
  if (at == vaults_.end()) return;
  Action again = [=, this] { deliver(trainer, vault, job, given, bytes); };
  if (!at->second->gate.pass(again)) return;
  recovery::VaultRequest request = given;
  request.bytes = *bytes;
  const recovery::VaultReply reply = at->second->store.handle(request);
  world_.trace("vault", static_cast<int>(at->second->host),
               static_cast<uint64_t>(request.verb) << 32 | request.shard,
               request.revision << 8 | static_cast<uint64_t>(reply.status.is_ok()));
  auto answer = std::make_shared<std::vector<std::byte>>(reply.bytes.begin(), reply.bytes.end());
  oracle_.handled(vault, request);
  if (world_.scheduling.chance(0.01)) at->second->store.scrub(UINT64_MAX);
  world_.after(latency(), [this, trainer, vault, job, reply, answer] {
    on_trainer(trainer, [vault, job, reply, answer](ShardsTrainer& t) {
      recovery::VaultReply own = reply;
      own.bytes = *answer;
      t.vault_reply(job, vault, own);
    });
  });
}

void ShardsCluster::restored(const GenerationRecord& record, const std::vector<std::byte>& bytes) {
  ++outcome_.restored;
  world_.trace("restored", -1, record.stage, record.revision);
  oracle_.restored(record, bytes);
}

void ShardsCluster::restore_failed(const GenerationRecord& record, const Status& status) {
  // Superseded records are given up too: their shards are gone, rightly.
  if (const auto* newest = oracle_.newest(record.stage); newest && *newest == record)
    ++outcome_.typed_losses;
  world_.trace("state lost", -1, record.stage, record.revision);
  oracle_.lost(record, status);
}

// ---- the coordinator

void ShardsCluster::start_office() {
  if (office_) return;
  world_.trace("coordinator up", -1, log_.size());
  office_ = std::make_shared<Office>();
  office_->core = std::make_unique<Coordinator>(run_config(config_), log_, world_.now());
  tick_at_ = kNever;
  settle();
}

void ShardsCluster::crash_office() {
  if (!office_) return;
  world_.trace("coordinator down", -1, log_.size());
  ++outcome_.restarts;
  const auto old = std::exchange(office_, nullptr);
  for (const auto& [session, peer] : old->sessions)
    in_order({}, peer, [this, session = session, peer = peer] {
      on_trainer(peer, [this, peer, session](ShardsTrainer& trainer) {
        if (trainers_.at(peer)->session != session) return;
        trainers_.at(peer)->session = 0;
        trainer.disconnected(world_.now());
        world_.after(milliseconds(2), [this, peer] { dial(peer); });
      });
    });
  world_.after(World::between(world_.faults, milliseconds(1), milliseconds(200)),
               [this] { start_office(); });
}

void ShardsCluster::dial(PeerId trainer) {
  const auto at = trainers_.find(trainer);
  if (at == trainers_.end() || at->second->session != 0) return;
  if (!office_) {
    world_.after(milliseconds(5), [this, trainer] { dial(trainer); });
    return;
  }
  at->second->session = next_session_++;
  office_->sessions[at->second->session] = trainer;
  on_trainer(trainer, [this](ShardsTrainer& t) { t.connected(world_.now()); });
}

void ShardsCluster::send_coordinator(PeerId trainer, ControlMessage message) {
  auto decoded = wire::decode_message(wire::encode(message));
  RHZ_ASSERT("codec", decoded.is_ok() && decoded.value() == message);
  auto m = std::make_shared<ControlMessage>(std::move(decoded).value());
  in_order(trainer, {}, [this, m, session = trainers_.at(trainer)->session, office = office_] {
    if (!office || office != office_ || !office->sessions.contains(session)) return;
    office->core->receive(world_.now(), session, *m);
    settle();
  });
}

void ShardsCluster::settle() {
  if (!office_) return;
  const Time due = office_->core->tick(world_.now());
  for (auto actions = office_->core->take_actions(); !actions.empty();
       actions = office_->core->take_actions())
    for (CoordinatorAction& action : actions)
      if (!carry_out(std::move(action))) return;
  if (due >= tick_at_ && tick_at_ > world_.now()) return;
  tick_at_ = std::max(due, world_.now() + microseconds(1));
  world_.at(tick_at_, [this, at = tick_at_, office = office_] {
    if (office == office_ && at == tick_at_) settle();
  });
}

// False: it died in the middle.
bool ShardsCluster::carry_out(CoordinatorAction&& action) {
  const bool fatal =
      !healed_ && config_.append_crash > 0 && world_.faults.chance(config_.append_crash);
  if (auto* a = std::get_if<AppendAction>(&action)) {
    const size_t before = log_.size();
    if (fatal)
      log_ = after_crash("sim", log_, a->entry, world_.faults);
    else
      log_.push_back(a->entry);
    if (log_.size() > before) oracle_.appended(a->entry);
  } else if (auto* c = std::get_if<CutAction>(&action)) {
    if (!fatal) log_ = {c->snapshot};
  } else if (auto* s = std::get_if<CoordinatorSend>(&action); s && !fatal) {
    const auto at = office_->sessions.find(s->session);
    if (at == office_->sessions.end()) return true;
    auto m = std::make_shared<ControlMessage>(std::move(s->message));
    in_order({}, at->second, [this, m, session = s->session, peer = at->second] {
      on_trainer(peer, [this, m, peer, session](ShardsTrainer& trainer) {
        if (trainers_.at(peer)->session == session) trainer.control(world_.now(), *m);
      });
    });
  } else if (auto* e = std::get_if<CloseSession>(&action); e && !fatal) {
    const auto at = office_->sessions.find(e->session);
    if (at == office_->sessions.end()) return true;
    // Refused or removed: this incarnation is over, and another one comes.
    const PeerId peer = at->second;
    office_->sessions.erase(at);
    world_.after(latency() * 4, [this, peer] {
      if (const auto t = trainers_.find(peer); t != trainers_.end()) kill_trainer(t->second->host);
    });
  }
  if (fatal) crash_office();
  return !fatal;
}

// All members stand at an admit op from time to time, so that new trainers may enter.
void ShardsCluster::admit_round() {
  admit_op_ = admit_op_.next();
  all_trainers(Duration(0),
               [this, op = admit_op_](ShardsTrainer& trainer) { trainer.admit(world_.now(), op); });
  world_.after(milliseconds(60), [this] { admit_round(); });
}

// ---- a seed

ShardsOutcome ShardsCluster::run() {
  for (uint32_t host = 0; host < config_.hosts; ++host) start_vault(host);
  start_office();
  for (uint32_t host = 0; host < config_.hosts; ++host) start_trainer(host);
  world_.after(milliseconds(50), [this] { admit_round(); });
  const Time calm = milliseconds(300), end = calm + config_.chaos;
  world_.at(calm, [this] {
    strike(config_.vault_crash, &ShardsCluster::crash_some_vault);
    strike(config_.trainer_crash, &ShardsCluster::crash_some_trainer);
    strike(config_.host_crash, &ShardsCluster::crash_some_host);
    strike(config_.rack_crash, &ShardsCluster::crash_some_rack);
    strike(config_.corrupt, &ShardsCluster::corrupt_some_shard);
    strike(config_.pause, &ShardsCluster::pause_somebody);
    strike(config_.coordinator_crash, &ShardsCluster::crash_coordinator);
    strike(config_.cut_log, &ShardsCluster::cut_log);
  });
  while (!oracle_.violated() && world_.step_until(end)) continue;
  if (!oracle_.violated()) heal();
  bool well = false;
  while (!oracle_.violated() && !well && world_.step_until(end + config_.patience))
    well = world_.events() % 64 == 0 && healthy();
  outcome_.deserted =
      office_ && office_->core->view().epoch != Epoch(0) && office_->core->view().size() == 0;
  if (!oracle_.violated() && !well && !outcome_.deserted) {
    std::string text = "after the healing not all generations are whole";
    for (uint32_t stage = 0; stage < config_.stages; ++stage)
      text += "; stage " + std::to_string(stage) + " lacks " +
              std::to_string(oracle_.lost_shards(stage));
    oracle_.fail("liveness", text);
  }
  outcome_.violation = oracle_.violation();
  outcome_.hash = world_.hash();
  outcome_.events = world_.events();
  outcome_.generations = oracle_.generations();
  outcome_.replacements = oracle_.replacements();
  outcome_.decoded = oracle_.decoded();
  return outcome_;
}

}  // namespace rhz::sim
