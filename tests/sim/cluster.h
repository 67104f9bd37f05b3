// A whole run under one seed: coordinator, peers, network, faults, oracles.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/coordinator_host.h"
#include "tests/sim/process.h"

namespace rhz::sim {

struct Outcome {
  std::string violation;  // empty: none
  uint64_t hash = 0, events = 0, churn = 0;
  uint64_t released = 0, rebuilt = 0, included = 0, aborted = 0, messages = 0, steps = 0, views = 0;
  uint64_t members = 0, deserted = 0;  // sum over views; 1: nobody was left
  // Churn: members that entered and that went, rings that were laid around an edge, coordinators
  // that began anew.
  uint64_t entered = 0, removed = 0, rerouted = 0, restarts = 0;
  uint64_t pulled = 0;    // by newcomers, while the members went on
  uint64_t followed = 0;  // updates that they applied since
  uint64_t measured = 0;  // tables of costs that a group agreed on
  uint64_t replayed = 0;  // frames of old epochs that came again, all of which were dropped
  uint64_t faults[kFaults] = {};
  uint64_t died_at[kMarks] = {};
  std::vector<std::pair<Fault, uint32_t>> blows;  // that fell, by kind and number
};

class Cluster final : public Directory {
 public:
  explicit Cluster(const Config& config, bool timeline = false);
  ~Cluster() override;

  Outcome run();

  // Directory.
  SimTransport* transport(NodeIndex who) override;
  ControlClient* control(NodeIndex who) override;
  void run(NodeIndex who, Action action) override;
  PeerId id_of(NodeIndex who) const override;
  void gone(NodeIndex who) override;
  void reached(NodeIndex who, Mark mark) override;
  void replayed(NodeIndex who, bool dropped) override;

 private:
  // cluster.cc
  Process& begin_process();
  bool settled() const;
  void look();
  void check_deadlines();
  std::string dump() const;
  std::vector<NodeIndex> living() const;

  // faults.cc
  void arm_faults();
  void arm(Fault fault, std::shared_ptr<Prng> when);
  void strike(Fault fault);
  bool strike_peer(Fault fault, Prng& dice);
  bool strike_domain(NodeIndex who, Prng& dice);
  bool strike_coordinator(Fault fault, Prng& dice);
  void pause_for(NodeIndex who, Duration time);
  std::vector<NodeIndex> hale() const;
  NodeIndex victim(Prng& dice) const;
  NodeIndex caller(Prng& dice) const;
  void replenish();

  // faults_network.cc
  bool strike_network(Fault fault, Prng& dice);
  void cut_for(const std::vector<std::pair<NodeIndex, NodeIndex>>& pairs, Duration time,
               Prng& dice);
  bool clog(Prng& dice);
  bool narrow(Prng& dice);
  bool shut_window(Prng& dice);
  void stun(NodeIndex who, Prng& dice);
  void sever(NodeIndex from, NodeIndex to);
  void break_late(const std::vector<NodeIndex>& core, Prng& dice);
  void heal();

  const Config config_;
  World world_;
  Network network_;
  Oracles oracles_;
  CoordinatorHost coordinator_;
  std::vector<std::unique_ptr<Process>> processes_;  // by NodeIndex; the gone ones too
  bool healing_ = false;
  std::set<NodeIndex> stuck_;  // stand still for good
  uint32_t blows_[kFaults] = {};
  Outcome outcome_;
};

}  // namespace rhz::sim
