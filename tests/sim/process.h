// One simulated peer process: the real Node over a SimTransport, its program, its control
// connection and its own clock.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "api/src/node.h"
#include "tests/sim/coordinator_host.h"
#include "tests/sim/sim_transport.h"
#include "tests/sim/slow_pages.h"
#include "tests/sim/trainer.h"

namespace rhz::sim {

class Process final : public ControlClient {
 public:
  Process(World& world, Network& network, Directory& directory, CoordinatorHost& coordinator,
          Oracles& oracles, const Config& config, NodeIndex self, Slot slot);
  ~Process() override;

  void start();
  void run(Action action);  // see Directory::run
  void die();
  void pause();
  void unpause();

  // It dies when it stands there the next time; kCount: not at all.
  void doom(Mark mark) { doom_ = mark; }
  bool dies_at(Mark mark);

  bool alive() const { return gate_.alive; }
  bool paused() const { return gate_.paused; }
  bool ended() const { return node_->ended(); }
  bool joined() const { return node_->joined(); }
  NodeIndex self() const { return self_; }
  PeerId id() const { return id_; }
  SimTransport& transport() { return *transport_; }
  Trainer& trainer() { return *trainer_; }
  const Node& node() const { return *node_; }
  void drop_control();
  std::string text() const;
  static std::string group_text(GroupId group, const Communicator& communicator);

  void control_message(const ConnectionRef& connection, const ControlMessage& message) override;
  void control_closed(const ConnectionRef& connection) override;

 private:
  Time clock() const;
  Time world_time(Time local) const;
  void settle();
  void occupy();
  void look_into(const ControlMessage& message);
  void dial(Duration delay);
  void watch_control();
  void stumble();
  void note_bulk();
  void exit_later();

  World& world_;
  Network& network_;
  Directory& directory_;
  CoordinatorHost& coordinator_;
  Oracles& oracles_;
  const Config& config_;
  const NodeIndex self_;
  PeerId id_;
  Gate gate_;
  Mark doom_ = Mark::kCount;
  bool dying_ = false;
  Prng cpu_;
  bool busy_ = false;
  std::deque<Action> tasks_;  // that came while it was busy
  double rate_ = 1;
  Time offset_{};

  std::unique_ptr<BufferPool> pool_;
  std::unique_ptr<recovery::State> state_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<SimTransport> transport_;
  SlowPages pages_;
  std::unique_ptr<Node> node_;

  ConnectionRef connection_;
  Time heard_{};
  uint32_t dials_ = 0;
  Time armed_ = kNever;
  uint64_t noted_bulk_ = 0;
  Epoch noted_epoch_;
  bool noted_end_ = false, noted_sync_ = false, settling_ = false;
};

}  // namespace rhz::sim
