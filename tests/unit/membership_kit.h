// A coordinator and a member without network and disk, for unit tests.
#pragma once

#include "runtime/membership/coordinator.h"
#include "runtime/membership/member.h"

namespace rhz {

using std::chrono::seconds;

inline RunConfig config_of(uint32_t world) {
  RunConfig config;
  config.run_id = "test";
  config.world = config.max_world = world;
  return config;
}

// A coordinator with sessions that are told apart by the peer's number; keeps everything it said
// and logged.
struct Office {
  explicit Office(RunConfig config, std::vector<LogEntry> log = {})
      : core(std::move(config), log, now), log(std::move(log)) {
    drain();
  }
  void drain() {
    for (auto& action : core.take_actions()) {
      if (auto* a = std::get_if<AppendAction>(&action)) log.push_back(a->entry);
      if (auto* a = std::get_if<CoordinatorSend>(&action)) said[a->session].push_back(a->message);
    }
  }
  static PeerId id(uint32_t n) { return {9, n + 1}; }
  void hello(uint32_t n, std::string run = "test") {
    HelloMessage hello;
    hello.run_id = std::move(run);
    hello.self.id = id(n);
    tell(n, hello);
  }
  void hello(uint32_t n, StateNote state) {
    HelloMessage hello;
    hello.run_id = "test";
    hello.self.id = id(n);
    hello.state = std::move(state);
    tell(n, hello);
  }
  void tell(uint32_t n, ControlMessage message) {
    core.receive(now, n + 1, message);
    drain();
  }
  void seal(uint32_t n) {
    SealedMessage sealed;
    sealed.report.epoch = core.view().epoch;
    sealed.report.groups.push_back({});
    tell(n, sealed);
  }
  void advance(Duration by) {
    for (const Time end = now + by; now < end; now += milliseconds(1)) {
      core.tick(now);
      drain();
    }
  }
  template <class T>
  const T* last(uint32_t n) {
    for (auto m = said[n + 1].rbegin(); m != said[n + 1].rend(); ++m)
      if (const T* message = std::get_if<T>(&*m)) return message;
    return nullptr;
  }
  void found(uint32_t world) {
    for (uint32_t n = 0; n < world; ++n) hello(n);
    for (uint32_t n = 0; n < world; ++n) seal(n);
  }

  Time now = seconds(100);
  Coordinator core;
  std::vector<LogEntry> log;
  std::map<SessionId, std::vector<ControlMessage>> said;
};

inline View view_of(uint64_t epoch, const std::vector<PeerId>& ids) {
  View view;
  view.epoch = Epoch(epoch);
  for (size_t i = 0; i < ids.size(); ++i) {
    MemberInfo member;
    member.id = ids[i];
    member.slot = Slot(static_cast<uint32_t>(i));
    view.members.push_back(member);
  }
  return view;
}

struct Seat {
  Seat() : core("test", info()) {
    core.connected(now);
    core.receive(now, WelcomeMessage{Term(1), {}});
    core.take_actions();
  }
  static MemberInfo info() {
    MemberInfo self;
    self.id = {9, 1};
    return self;
  }
  template <class T>
  std::vector<T> give(std::vector<LogEntry> entries, uint64_t term = 1) {
    core.receive(now, EntriesMessage{Term(term), std::move(entries)});
    std::vector<T> found;
    for (auto& action : core.take_actions())
      if (auto* a = std::get_if<T>(&action)) found.push_back(*a);
    return found;
  }
  static LogEntry entry(uint64_t index, Record record) {
    return {Term(1), LogIndex(index), std::move(record)};
  }
  Time now = seconds(1);
  Member core;
};

}  // namespace rhz
