#include "tests/explore/coordinator_rig.h"

#include <algorithm>

#include "runtime/base/prng.h"
#include "runtime/wire/codec.h"
#include "tests/explore/peer_rig.h"

namespace rhz::explore {

namespace {

// Of a run without heartbeats (run_config), newcomers and vaults.
bool says_nothing(const ControlMessage& message) {
  return std::holds_alternative<CoordinatorBeatMessage>(message) ||
         std::holds_alternative<PendingMessage>(message) ||
         std::holds_alternative<VaultsMessage>(message) ||
         std::holds_alternative<GenerationsMessage>(message);
}

}  // namespace

uint32_t Records::id_of(const LogEntry& entry) {
  const std::vector<std::byte> bytes = wire::encode(entry);
  std::string key(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto [at, fresh] = known_.try_emplace(std::move(key), static_cast<uint32_t>(all_.size()));
  if (fresh) all_.push_back(entry);
  return at->second;
}

CoordinatorRig::CoordinatorRig(const Options& options, Messages& messages, Records& records,
                               Log log)
    : options_(options), messages_(messages), records_(records), log_(std::move(log)) {
  for (uint32_t id : log_) note(records_[id]);
}

bool CoordinatorRig::feed(const Event& event, Outs& outs) {
  SessionId& session = session_[event.peer];
  switch (event.kind) {
    case Kind::kStart: {
      std::vector<LogEntry> entries;
      for (uint32_t id : log_) entries.push_back(records_[id]);
      // It judges at once: that evidence may come together is one order of events among others.
      CoordinatorTiming timing;
      timing.hard_window = timing.soft_window = Duration::zero();
      core_ = std::make_unique<Coordinator>(run_config(options_), std::move(entries), event.now,
                                            timing);
      break;
    }
    case Kind::kWord: {
      const ControlMessage& word = messages_[event.message].word;
      if (std::holds_alternative<HelloMessage>(word))
        session = ++sessions_ * kMaxPeers + event.peer;
      if (session != 0) core_->receive(event.now, session, word);
      break;
    }
    case Kind::kEnd:
      if (session != 0) core_->disconnected(event.now, std::exchange(session, 0));
      break;
    default: break;
  }
  settle(event.now, outs);
  return true;
}

void CoordinatorRig::settle(Time now, Outs& outs) {
  const Time next = core_->tick(now);
  facts_.deadline = next == kNever ? INT64_MAX : std::max(next, now + microseconds(1)).count();
  for (auto actions = core_->take_actions(); !actions.empty(); actions = core_->take_actions())
    for (CoordinatorAction& action : actions) carry_out(std::move(action), outs);
  facts_.resolved = core_->resolved();
}

void CoordinatorRig::note(const LogEntry& entry) {
  facts_.log = mix64(facts_.log ^ records_.id_of(entry));
  const auto* record = std::get_if<ViewRecord>(&entry.record);
  if (!record) return;
  facts_.epoch = static_cast<uint32_t>(record->view.epoch.value);
  facts_.members = 0;
  for (const MemberInfo& member : record->view.members)
    facts_.members |= static_cast<uint8_t>(1u << (member.id.low - 1));
  facts_.view[std::min<size_t>(facts_.epoch, kMaxEpochs - 1)] = facts_.members;
}

void CoordinatorRig::carry_out(CoordinatorAction&& action, Outs& outs) {
  if (const auto* append = std::get_if<AppendAction>(&action)) {
    const uint32_t id = records_.id_of(append->entry);
    log_.push_back(id);
    note(append->entry);
    outs.push_back({Out::Kind::kAppend, 0, 0, id, 0});
  } else if (const auto* send = std::get_if<CoordinatorSend>(&action)) {
    if (says_nothing(send->message)) return;
    if (const auto* entries = std::get_if<EntriesMessage>(&send->message))
      for (const LogEntry& entry : entries->entries)
        if (std::find(log_.begin(), log_.end(), records_.id_of(entry)) == log_.end())
          facts_.complaint = 1;
    const auto peer = static_cast<uint8_t>(send->session % kMaxPeers);
    if (session_[peer] != send->session) return;
    outs.push_back({Out::Kind::kWord, peer, 0, messages_.word(send->message), 0});
  } else if (const auto* close = std::get_if<CloseSession>(&action)) {
    const auto peer = static_cast<uint8_t>(close->session % kMaxPeers);
    if (session_[peer] != close->session) return;
    session_[peer] = 0;
    outs.push_back({Out::Kind::kEnd, peer, 0, kEnd, 0});
  }
}

}  // namespace rhz::explore
