// A whole run in one thread, without sockets: the coordinator's core and a Node per peer, wired in memory.  Peers come and go; the first
// one stays.  Time passes when nothing is under way.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <optional>

#include "api/src/node.h"
#include "runtime/membership/coordinator.h"
#include "tests/unit/memory_port.h"

namespace rhz {

class MemoryRun {
 public:
  static constexpr uint32_t kWorld = 3;
  static constexpr uint64_t kCount = 16;

  // A process with its program, which has one tensor and one op at a time.
  struct Peer final : SendOnly {
    Peer(MemoryRun& run, uint64_t serial, Slot slot) : run(run), serial(serial) {
      recovery::Tensor tensor{"state", 0, kCount, reinterpret_cast<std::byte*>(values.data()), sizeof values, false, nullptr};
      (void)state.add(std::move(tensor));
      NodeOptions options;
      options.run_id = "memory";
      options.self = {id(), slot, 0, {"memory"}};
      node.emplace(std::move(options), [&run] { return run.now; }, *this, pool, state);
    }
    PeerId id() const { return {7, serial}; }
    void set_events(TransportEvents* its) override { events = its; }
    void send(PeerId to, LaneClass, OutFrame frame) override {
      frame.header.length = static_cast<uint32_t>(frame.payload.size());
      run.wire_.push_back({serial, to.low, frame.header, {frame.payload.begin(), frame.payload.end()}});
    }

    MemoryRun& run;
    const uint64_t serial;
    TransportEvents* events = nullptr;
    BufferPool pool;
    recovery::State state;
    std::array<uint64_t, kCount> values{}, output{};
    Ended ended;
    std::optional<Node> node;
  };

  MemoryRun() {
    for (uint32_t slot = 0; slot < kWorld; ++slot) start(Slot(slot));
    until([&] { return is_whole(); });
  }

  void all_reduce() { op(OpKind::kAllReduce); }
  // A boundary, at which a newcomer enters that is there.
  void admit() { op(OpKind::kProbe); }
  // Of everybody, and closed again.
  void split_and_close() {
    std::vector<GroupId> made;
    for (auto& [serial, peer] : peers_)
      peer->node->split(now, kRootGroup, {}, Duration::zero(), [&](const Status&, GroupId group) { made.push_back(group); });
    until([&] { return made.size() == kWorld; });
    for (auto& [serial, peer] : peers_) peer->node->close_group(now, made.front());
    until([&] { return is_idle(); });
  }
  // The one in this slot dies, or leaves, and another one takes its place.
  void replace(Slot slot, bool dies) {
    const uint64_t gone = serial_of(slot);
    if (!dies) peers_.at(gone)->node->leave(now);
    until([&] { return dies || peers_.at(gone)->node->ended(); });
    peers_.erase(gone);
    core.disconnected(now, gone);
    for (auto& [serial, peer] : peers_)
      if (dies) peer->events->on_edge_down({7, gone}, Evidence::kDied);
    until([&] { return core.view().size() == kWorld - 1 && core.resolved(); });
    start(slot);
    settle();  // the members hear that somebody waits
    admit();
    until([&] { return is_whole(); });
  }
  // What a hello of a former member is answered.
  std::optional<Status> answer_to(uint64_t serial) {
    HelloMessage hello;
    hello.run_id = "memory";
    hello.self.id = {7, serial};
    hello.last_index = LogIndex(1);
    core.receive(now, ~serial, hello);
    std::optional<Status> said;
    for (const CoordinatorAction& action : core.take_actions())
      if (const auto* send = std::get_if<CoordinatorSend>(&action); send && send->session == ~serial)
        if (const auto* refused = std::get_if<RefusedMessage>(&send->message)) said = refused->status;
    return said;
  }

  Time now = std::chrono::seconds(100);
  Coordinator core{config(), {}, now};
  std::optional<LogEntry> snapshot;  // the newest; the log itself is kept by nobody
  bool hung = false;

 private:
  struct Frame {
    uint64_t from, to;
    wire::FrameHeader header;
    std::vector<std::byte> bytes;
  };
  static RunConfig config() {
    RunConfig config;
    config.run_id = "memory";
    config.world = config.max_world = kWorld;
    return config;
  }
  void start(Slot slot) {
    const uint64_t serial = ++started_;
    peers_[serial] = std::make_unique<Peer>(*this, serial, slot);
    peers_[serial]->node->control_up(now);
  }
  uint64_t serial_of(Slot slot) const {
    for (const MemberInfo& member : core.view().members)
      if (member.slot == slot) return member.id.low;
    return 0;
  }
  bool is_idle() const {
    return std::all_of(peers_.begin(), peers_.end(), [](const auto& p) { return p.second->node->idle(); });
  }
  bool is_whole() const {
    return core.view().size() == kWorld && core.resolved() && is_idle() &&
           std::all_of(peers_.begin(), peers_.end(), [&](const auto& p) { return p.second->node->view().epoch == core.view().epoch; });
  }

  void op(OpKind kind) {
    std::vector<Peer*> members;
    for (auto& [serial, peer] : peers_)
      if (peer->node->joined()) members.push_back(peer.get());
    for (Peer* peer : members) {
      OpSpec spec;
      spec.kind = kind;
      spec.dtype = kind == OpKind::kProbe ? reduce::Dtype::u32 : reduce::Dtype::u64;
      spec.redop = kind == OpKind::kProbe ? reduce::RedOp::max : reduce::RedOp::sum;
      spec.count = kind == OpKind::kProbe ? 1 : kCount;
      spec.send = reinterpret_cast<const std::byte*>(peer->values.data());
      spec.recv = reinterpret_cast<std::byte*>(peer->output.data());
      peer->ended = {};
      peer->node->submit(now, kRootGroup, spec, &peer->ended);
    }
    until([&] { return std::all_of(members.begin(), members.end(), [](Peer* peer) { return peer->ended.final; }); });
  }
  void until(const std::function<bool()>& holds) {
    for (int ms = 0; !hung; ++ms) {
      settle();
      if (holds()) return;
      hung = ms > 60'000;
      now += milliseconds(1);
      (void)core.tick(now);
      for (auto& [serial, peer] : peers_) (void)peer->node->tick(now);
    }
  }
  void settle() {
    for (bool moved = true; moved;) {
      moved = false;
      for (CoordinatorAction& action : core.take_actions()) moved = true, carry_out(action);
      for (auto& [serial, peer] : peers_)
        for (const ControlMessage& message : peer->node->take_control()) moved = true, core.receive(now, serial, message);
      moved |= deliver();
    }
  }
  void carry_out(const CoordinatorAction& action) {
    if (const auto* cut = std::get_if<CutAction>(&action)) snapshot = cut->snapshot;
    const auto* send = std::get_if<CoordinatorSend>(&action);
    if (!send) return;
    if (const auto to = peers_.find(send->session); to != peers_.end()) to->second->node->control(now, send->message);
  }
  // Each frame once; those that are held are offered again.
  bool deliver() {
    bool moved = false;
    for (Frame& frame : std::exchange(wire_, {})) {
      const auto to = peers_.find(frame.to);
      if (to == peers_.end() || !peers_.contains(frame.from)) continue;
      Landing landing = to->second->events->on_header({7, frame.from}, frame.header);
      if (landing.verdict == Landing::Verdict::kHold) {
        wire_.push_back(std::move(frame));
        continue;
      }
      moved = true;
      if (landing.verdict == Landing::Verdict::kDrop) continue;
      if (!frame.bytes.empty()) std::memcpy(landing.into, frame.bytes.data(), frame.bytes.size());
      to->second->events->on_frame({7, frame.from}, frame.header, std::move(landing));
    }
    return moved;
  }

  std::map<uint64_t, std::unique_ptr<Peer>> peers_;
  std::vector<Frame> wire_;
  uint64_t started_ = 0;
};

}  // namespace rhz
