#include "tests/sim/cluster.h"

#include <algorithm>

namespace rhz::sim {
namespace {
constexpr uint64_t kEventsPerLook = 8;  // at everybody, for each of them
}

Cluster::Cluster(const Config& config, bool timeline)
    : config_(config),
      world_(config.seed),
      network_(world_, config_),
      oracles_(world_, config_),
      coordinator_(world_, network_, *this, oracles_, config_) {
  world_.timeline = timeline;
}

Cluster::~Cluster() = default;

SimTransport* Cluster::transport(NodeIndex who) {
  return who < processes_.size() && processes_[who]->alive() ? &processes_[who]->transport()
                                                             : nullptr;
}

ControlClient* Cluster::control(NodeIndex who) {
  return who < processes_.size() && processes_[who]->alive() ? processes_[who].get() : nullptr;
}

void Cluster::run(NodeIndex who, Action action) { processes_[who]->run(std::move(action)); }

PeerId Cluster::id_of(NodeIndex who) const {
  return {mix64(config_.seed ^ mix64(who + 0x1d)), uint64_t{who} + 1};
}

// Its connections end; those who name it will notice.
void Cluster::gone(NodeIndex who) {
  if (!processes_[who]->alive()) return;
  world_.trace("gone", static_cast<int>(who));
  processes_[who]->die();
  oracles_.gone(who);
  const PeerId id = id_of(who);
  for (NodeIndex other : living())
    if (processes_[other]->transport().names(id)) processes_[other]->transport().watch_death(id);
  replenish();
}

void Cluster::reached(NodeIndex who, Mark mark) {
  if (processes_[who]->dies_at(mark)) ++outcome_.died_at[static_cast<size_t>(mark)];
}

void Cluster::replayed(NodeIndex who, bool dropped) {
  ++outcome_.replayed;
  if (!dropped) oracles_.fail("A", "p" + std::to_string(who) + " takes a replayed frame of an epoch that is over");
}

std::vector<NodeIndex> Cluster::living() const {
  std::vector<NodeIndex> who;
  for (const auto& process : processes_)
    if (process->alive()) who.push_back(process->self());
  return who;
}

Process& Cluster::begin_process() {
  const auto self = static_cast<NodeIndex>(processes_.size());
  const Slot slot = world_.topology.chance(0.3)
                        ? Slot(static_cast<uint32_t>(world_.topology.below(config_.run.max_world)))
                        : kAnySlot;
  processes_.push_back(std::make_unique<Process>(world_, network_, *this, coordinator_, oracles_,
                                                 config_, self, slot));
  processes_.back()->start();
  return *processes_.back();
}

// L1 over everything that the members of the newest view hold.
void Cluster::look() {
  std::vector<Oracles::Holding> holdings;
  for (NodeIndex who : living())
    if (oracles_.is_member(who) && !processes_[who]->ended())
      for (const auto& [group, communicator] : processes_[who]->node().groups().all())
        holdings.push_back({who, group, communicator->open_ops()});
  oracles_.check_lineages(holdings);
}

// Everybody who is a member finished the last step, and nothing is open anywhere.
bool Cluster::settled() const {
  for (NodeIndex who : living()) {
    const Process& process = *processes_[who];
    if (process.ended() || !process.joined() || stuck_.contains(who)) continue;
    if (const_cast<Process&>(process).trainer().leaving()) return false;
    if (!const_cast<Process&>(process).trainer().done() || !const_cast<Process&>(process).trainer().idle()) return false;
    if (process.node().groups().all().size() > 1 + kAxes) return false;  // closed by all, and still there
  }
  return true;
}

void Cluster::check_deadlines() {
  const std::string late = oracles_.overdue();
  if (!late.empty() && !oracles_.violated()) oracles_.fail("O5", late + "\n" + dump());
}

Outcome Cluster::run() {
  coordinator_.start();
  for (uint32_t i = 0; i < config_.run.world; ++i) begin_process();
  world_.after(config_.calm, [this] { arm_faults(); });
  // Safety: anything goes.
  Time end = config_.calm + config_.chaos;
  uint64_t looked = 0;
  Epoch seen;
  auto step = [&](Time until) {
    if (!world_.step_until(until) || oracles_.violated()) return false;
    const bool changed = std::exchange(seen, oracles_.newest().epoch) != oracles_.newest().epoch;
    if (changed || world_.events() >= looked + std::max<uint64_t>(199, kEventsPerLook * processes_.size())) {
      looked = world_.events();
      look();
    }
    return !oracles_.violated();
  };
  while (step(end)) {
  }
  // Liveness: all is well, and every op has to end.
  heal();
  end = world_.now() + config_.patience;
  uint64_t last = 0;
  for (NodeIndex who : living()) last = std::max(last, processes_[who]->trainer().step());
  for (const auto& process : processes_)
    if (process->alive()) process->trainer().stop_at(last + 3);
  bool over = settled();
  for (uint64_t n = 0; !over && step(end); ++n) {
    if (n % std::max<uint64_t>(64, processes_.size()) != 0) continue;
    over = settled();
    check_deadlines();
  }
  if (!over && !oracles_.violated() && !settled())
    oracles_.fail("O5", "not over in time after the healing\n" + dump());
  outcome_.violation = oracles_.violation();
  outcome_.hash = world_.hash();
  outcome_.events = world_.events();
  outcome_.released = oracles_.releases();
  outcome_.messages = oracles_.messages();
  outcome_.rebuilt = oracles_.rebuilt();
  outcome_.included = oracles_.included();
  outcome_.aborted = oracles_.aborts();
  outcome_.steps = last;
  outcome_.views = oracles_.newest().epoch.value;
  outcome_.entered = oracles_.entered_count();
  outcome_.pulled = oracles_.pulled_count();
  outcome_.followed = oracles_.followed_count();
  outcome_.removed = oracles_.removed_count();
  outcome_.rerouted = oracles_.rerouted_count();
  outcome_.measured = oracles_.learned_count();
  outcome_.restarts = coordinator_.restarts();
  outcome_.churn = outcome_.entered + outcome_.removed + outcome_.rerouted + outcome_.restarts;
  outcome_.members = oracles_.members_seen();
  outcome_.deserted = std::none_of(processes_.begin(), processes_.end(), [this](const auto& p) {
    return p->alive() && !p->ended() && oracles_.is_member(p->self()) &&
           !stuck_.contains(p->self());
  });
  return outcome_;
}

std::string Cluster::dump() const {
  std::string text = "  newest view " + std::to_string(oracles_.newest().epoch.value) + " (" +
                     oracles_.newest().cause + ") of";
  for (const MemberInfo& m : oracles_.newest().members)
    text += " p" + std::to_string(index_of(m.id)) + "@" + std::to_string(m.slot.value);
  if (coordinator_.core()) text += coordinator_.core()->resolved() ? " resolved" : " NOT resolved";
  for (const auto& process : processes_)
    if (process->alive()) text += "\n    " + process->text();
  return text;
}

}  // namespace rhz::sim
