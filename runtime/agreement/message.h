// Control messages between a peer and the coordinator, as plain structs.  runtime/wire/codec puts them on the wire.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/agreement/record.h"
#include "runtime/agreement/report.h"
#include "runtime/agreement/state_note.h"
#include "runtime/agreement/vaults.h"
#include "runtime/agreement/view.h"

namespace rhz {

// ---- peer → coordinator

// First message of a session, also after a reconnect.
struct HelloMessage {
  std::string run_id;
  MemberInfo self;          // slot: the one asked for, or kAnySlot
  LogIndex last_index;      // newest record seen; 0: none (a newcomer)
  Term term;                // of that record
  StateNote state{};
  friend bool operator==(const HelloMessage&, const HelloMessage&) = default;
};
constexpr uint8_t kTakenBack = 0, kOfSilence = 6;  // of evidence: an accusation of silence is, since the target was heard
struct SuspectMessage {
  Epoch epoch;
  PeerId target;
  uint8_t evidence = 0;     // Evidence (transport.h)
  bool self_doubt = false;  // the accuser was itself not running lately
  friend bool operator==(const SuspectMessage&, const SuspectMessage&) = default;
};
struct SealedMessage {
  SealReport report;
  friend bool operator==(const SealedMessage&, const SealedMessage&) = default;
};
// FAIL(op): repeated until a RESOLVE answers it.
struct FailMessage {
  Epoch epoch;
  GroupId group;
  OpSeq seq;
  Status status;
  friend bool operator==(const FailMessage&, const FailMessage&) = default;
};
// This member stands at its admit op, its state does not change until that is over.
struct AdmitBegunMessage {
  OpSeq op;
  uint64_t revision = 0;
  Digest root{};
  Digest state_shape{};
  friend bool operator==(const AdmitBegunMessage&, const AdmitBegunMessage&) = default;
};
// The joiner holds this state, verified; or (failed) could not get it.
struct SyncedMessage {
  OpSeq op;
  uint64_t revision = 0;
  Digest root{};
  Status failed;
  friend bool operator==(const SyncedMessage&, const SyncedMessage&) = default;
};
// All shards are held, verified: seal it.  Repeated until the log or a refusal answers it.  Counts
// only while `epoch` is the newest view: who protected a stage before that view decides nothing.
struct ProposeMessage {
  Epoch epoch;
  GenerationRecord generation;
  friend bool operator==(const ProposeMessage&, const ProposeMessage&) = default;
};
struct Metric {
  std::string name;
  double value = 0;
  friend bool operator==(const Metric&, const Metric&) = default;
};
struct PeerBeatMessage {
  Epoch epoch;             // installed
  uint64_t ops = 0;        // ended here
  uint64_t sent_bytes = 0, received_bytes = 0;
  std::vector<Metric> metrics;  // what the program published, ≤ 8
  // Of the transport: frames of older epochs, of ops that are over, or come twice; frames and
  // connections that make no sense here; of lanes that stood.
  uint64_t dropped_frames = 0, refused = 0, reconnects = 0;
  friend bool operator==(const PeerBeatMessage&, const PeerBeatMessage&) = default;
};
struct LeaveMessage {
  friend bool operator==(const LeaveMessage&, const LeaveMessage&) = default;
};
// From a tool, or from a peer before its Hello: needs none.
struct StatusRequest {
  std::string run_id;        // empty: any
  bool generations = false;  // a GenerationsMessage is to come before the reply
  friend bool operator==(const StatusRequest&, const StatusRequest&) = default;
};

// From a vault: first message of a session, and said again as its heartbeat.
struct VaultHereMessage {
  std::string run_id;
  VaultInfo vault;
  friend bool operator==(const VaultHereMessage&, const VaultHereMessage&) = default;
};

// ---- peer → vault

// First message of a connection: who is meant.  What follows are vault messages
// (recovery/shards/vault_messages.h).
struct VaultCallMessage {
  std::string run_id;
  PeerId vault;
  friend bool operator==(const VaultCallMessage&, const VaultCallMessage&) = default;
};

// ---- coordinator → peer; Term in every one of them: lower terms are refused

struct WelcomeMessage {
  Term term;
  RunConfig config;
  friend bool operator==(const WelcomeMessage&, const WelcomeMessage&) = default;
};
// The session is over, and so is this peer in this run.
struct RefusedMessage {
  Term term;
  Status status;
  friend bool operator==(const RefusedMessage&, const RefusedMessage&) = default;
};
// Durable records, in log order, each exactly once per session.
struct EntriesMessage {
  Term term;
  std::vector<LogEntry> entries;
  friend bool operator==(const EntriesMessage&, const EntriesMessage&) = default;
};
// How many peers wait to be admitted, and how many of them want the state in bulk first.
struct PendingMessage {
  Term term;
  uint32_t waiting = 0;
  uint32_t bulk = 0;
  friend bool operator==(const PendingMessage&, const PendingMessage&) = default;
};
// To a joiner: fetch this (logged) state from any of these members, who stand still meanwhile; or, where it is one of
// `admit.bulk`, from the copies that they have taken.
struct SyncStartMessage {
  Term term;
  AdmitRecord admit;
  std::vector<MemberInfo> donors;
  friend bool operator==(const SyncStartMessage&, const SyncStartMessage&) = default;
};
// The newest record of each stage, to who may not have it from the log: at the beginning of every
// session, and later what is logged while a peer waits to be admitted.
struct GenerationsMessage {
  Term term;
  std::vector<GenerationRecord> generations;
  friend bool operator==(const GenerationsMessage&, const GenerationsMessage&) = default;
};
struct ProposalRefusedMessage {
  Term term;
  uint32_t stage = 0;
  uint64_t revision = 0;
  uint32_t placement = 0;
  Status status;
  friend bool operator==(const ProposalRefusedMessage&, const ProposalRefusedMessage&) = default;
};
// The vaults of the run: at the beginning of a session, and whenever one comes or is lost.
struct VaultsMessage {
  Term term;
  bool complete = false;  // whoever is not among them is lost; else more may be about to come back
  std::vector<VaultInfo> vaults;
  friend bool operator==(const VaultsMessage&, const VaultsMessage&) = default;
};
struct CoordinatorBeatMessage {
  Term term;
  friend bool operator==(const CoordinatorBeatMessage&, const CoordinatorBeatMessage&) = default;
};
struct FaultLine {  // one fault and how long it took to heal
  Epoch epoch;
  std::string cause;
  uint64_t at_ms = 0;         // since the coordinator started
  uint64_t heal_us = 0;       // first evidence → RESOLVE durable
  friend bool operator==(const FaultLine&, const FaultLine&) = default;
};
struct PeerStatus {
  MemberInfo info;
  bool member = false;     // else: waits to be admitted
  bool connected = false;
  uint64_t silent_ms = 0;
  PeerBeatMessage beat;
  friend bool operator==(const PeerStatus&, const PeerStatus&) = default;
};
struct StatusReply {
  Term term;
  RunConfig config;
  View view;
  bool resolved = false;
  uint64_t uptime_ms = 0, log_bytes = 0;
  LogIndex last_index;
  std::vector<PeerStatus> peers;
  std::vector<FaultLine> faults;  // the last 32
  bool vaults_complete = false;   // as in VaultsMessage
  std::vector<VaultInfo> vaults;
  friend bool operator==(const StatusReply&, const StatusReply&) = default;
};

using ControlMessage =
    std::variant<HelloMessage, SuspectMessage, SealedMessage, FailMessage, AdmitBegunMessage,
                 SyncedMessage, PeerBeatMessage, LeaveMessage, StatusRequest, WelcomeMessage,
                 RefusedMessage, EntriesMessage, PendingMessage, SyncStartMessage,
                 CoordinatorBeatMessage, StatusReply, ProposeMessage, GenerationsMessage,
                 ProposalRefusedMessage, VaultHereMessage, VaultCallMessage, VaultsMessage>;

}  // namespace rhz
