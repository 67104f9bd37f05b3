// Control messages (agreement/message.h): one write and one read per kind, and the union.
#include "runtime/wire/codec_parts.h"

namespace rhz::wire {
namespace {

// ---- peer → coordinator

void write_tensor(Writing& out, schema::TensorText::Builder to, const TensorText& from) {
  to.setName(out.exact(from.name));
  to.setType(out.exact(from.type));
}

TensorText read_tensor(Reading& in, schema::TensorText::Reader from) {
  return {in.text(from.getName(), "name of a tensor"), in.text(from.getType(), "type of a tensor")};
}

void write_state_note(Writing& out, schema::Hello::Builder to, const StateNote& from) {
  to.setStateShape(as_data(from.shape));
  const auto& tensors = from.tensors.first;
  write_list(out, to.initTensors(out.count(tensors.size(), TensorList::kMost)), tensors, write_tensor);
  to.setTensorCount(from.tensors.count);
  to.setStrategy(static_cast<uint8_t>(from.strategy));
  to.setBulk(static_cast<uint8_t>(from.bulk));
}

StateNote read_state_note(Reading& in, schema::Hello::Reader from) {
  StateNote to;
  to.shape = in.digest(from.getStateShape(), "state shape of a hello");
  to.tensors.first = read_list(in, from.getTensors(), TensorList::kMost, "tensors", read_tensor);
  to.tensors.count = from.getTensorCount();
  to.strategy = static_cast<SyncStrategy>(from.getStrategy());
  to.bulk = static_cast<BulkStand>(from.getBulk());
  if (to.strategy > SyncStrategy::kSendOnly || to.bulk > BulkStand::kHad)
    in.fail("unknown strategy or stand of a newcomer");
  return to;
}

void write_hello(Writing& out, schema::Hello::Builder to, const HelloMessage& from) {
  to.setRunId(out.exact(from.run_id));
  write_member(out, to.initSelf(), from.self);
  to.setLastIndex(from.last_index.value);
  to.setTerm(from.term.value);
  write_state_note(out, to, from.state);
}

HelloMessage read_hello(Reading& in, schema::Hello::Reader from) {
  HelloMessage to;
  to.run_id = in.text(from.getRunId(), "run id");
  to.self = read_member(in, from.getSelf());
  to.last_index = LogIndex(from.getLastIndex());
  to.term = Term(from.getTerm());
  to.state = read_state_note(in, from);
  return to;
}

void write_suspect(Writing& out, schema::Suspect::Builder to, const SuspectMessage& from) {
  to.setEpoch(from.epoch.value);
  write_peer_id(out, to.initTarget(), from.target);
  to.setEvidence(from.evidence);
  to.setSelfDoubt(from.self_doubt);
}

SuspectMessage read_suspect(Reading& in, schema::Suspect::Reader from) {
  return {Epoch(from.getEpoch()), read_peer_id(in, from.getTarget()), from.getEvidence(),
          from.getSelfDoubt()};
}

void write_fail(Writing& out, schema::Fail::Builder to, const FailMessage& from) {
  to.setEpoch(from.epoch.value);
  to.setGroup(from.group.value);
  to.setSeq(from.seq.value);
  write_status(out, to.initStatus(), from.status);
}

FailMessage read_fail(Reading& in, schema::Fail::Reader from) {
  return {Epoch(from.getEpoch()), GroupId(from.getGroup()), OpSeq(from.getSeq()),
          read_status(in, from.getStatus())};
}

void write_admit_begun(Writing&, schema::AdmitBegun::Builder to, const AdmitBegunMessage& from) {
  to.setOp(from.op.value);
  to.setRevision(from.revision);
  to.setRoot(as_data(from.root));
  to.setStateShape(as_data(from.state_shape));
}

AdmitBegunMessage read_admit_begun(Reading& in, schema::AdmitBegun::Reader from) {
  return {OpSeq(from.getOp()), from.getRevision(), in.digest(from.getRoot(), "root at an admit op"),
          in.digest(from.getStateShape(), "state shape at an admit op")};
}

void write_synced(Writing& out, schema::Synced::Builder to, const SyncedMessage& from) {
  to.setOp(from.op.value);
  to.setRevision(from.revision);
  to.setRoot(as_data(from.root));
  write_status(out, to.initFailed(), from.failed);
}

SyncedMessage read_synced(Reading& in, schema::Synced::Reader from) {
  return {OpSeq(from.getOp()), from.getRevision(), in.digest(from.getRoot(), "root of a joiner"),
          read_status(in, from.getFailed())};
}

void write_propose(Writing& out, schema::Propose::Builder to, const ProposeMessage& from) {
  to.setEpoch(from.epoch.value);
  write_generation(out, to.initGeneration(), from.generation);
}

ProposeMessage read_propose(Reading& in, schema::Propose::Reader from) {
  return {Epoch(from.getEpoch()), read_generation(in, from.getGeneration())};
}

void write_status_request(Writing& out, schema::StatusRequest::Builder to,
                          const StatusRequest& from) {
  to.setRunId(out.exact(from.run_id));
  to.setGenerations(from.generations);
}

void write_vault_here(Writing& out, schema::VaultHere::Builder to, const VaultHereMessage& from) {
  to.setRunId(out.exact(from.run_id));
  write_vault(out, to.initVault(), from.vault);
}

VaultHereMessage read_vault_here(Reading& in, schema::VaultHere::Reader from) {
  return {in.text(from.getRunId(), "run id"), read_vault(in, from.getVault())};
}

void write_vault_call(Writing& out, schema::VaultCall::Builder to, const VaultCallMessage& from) {
  to.setRunId(out.exact(from.run_id));
  write_peer_id(out, to.initVault(), from.vault);
}

// ---- coordinator → peer

void write_welcome(Writing& out, schema::Welcome::Builder to, const WelcomeMessage& from) {
  to.setTerm(from.term.value);
  write_config(out, to.initConfig(), from.config);
}

WelcomeMessage read_welcome(Reading& in, schema::Welcome::Reader from) {
  return {Term(from.getTerm()), read_config(in, from.getConfig())};
}

void write_refused(Writing& out, schema::Refused::Builder to, const RefusedMessage& from) {
  to.setTerm(from.term.value);
  write_status(out, to.initStatus(), from.status);
}

RefusedMessage read_refused(Reading& in, schema::Refused::Reader from) {
  return {Term(from.getTerm()), read_status(in, from.getStatus())};
}

void write_entries(Writing& out, schema::Entries::Builder to, const EntriesMessage& from) {
  to.setTerm(from.term.value);
  write_list(out, to.initEntries(out.count(from.entries.size(), kMaxEntries)), from.entries,
             write_entry);
}

EntriesMessage read_entries(Reading& in, schema::Entries::Reader from) {
  return {Term(from.getTerm()),
          read_list(in, from.getEntries(), kMaxEntries, "entries", read_entry)};
}

void write_sync_start(Writing& out, schema::SyncStart::Builder to, const SyncStartMessage& from) {
  to.setTerm(from.term.value);
  write_admit(out, to.initAdmit(), from.admit);
  write_list(out, to.initDonors(out.count(from.donors.size(), kMaxPeers)), from.donors,
             write_member);
}

SyncStartMessage read_sync_start(Reading& in, schema::SyncStart::Reader from) {
  return {Term(from.getTerm()), read_admit(in, from.getAdmit()),
          read_list(in, from.getDonors(), kMaxPeers, "donors", read_member)};
}

void write_generations(Writing& out, schema::Generations::Builder to,
                       const GenerationsMessage& from) {
  to.setTerm(from.term.value);
  write_list(out, to.initGenerations(out.count(from.generations.size(), kMaxKnownGenerations)),
             from.generations, write_generation);
}

GenerationsMessage read_generations(Reading& in, schema::Generations::Reader from) {
  return {Term(from.getTerm()),
          read_list(in, from.getGenerations(), kMaxKnownGenerations, "generations", read_generation)};
}

void write_proposal_refused(Writing& out, schema::ProposalRefused::Builder to,
                            const ProposalRefusedMessage& from) {
  to.setTerm(from.term.value);
  to.setStage(from.stage);
  to.setRevision(from.revision);
  to.setPlacement(from.placement);
  write_status(out, to.initStatus(), from.status);
}

ProposalRefusedMessage read_proposal_refused(Reading& in, schema::ProposalRefused::Reader from) {
  return {Term(from.getTerm()), from.getStage(), from.getRevision(), from.getPlacement(),
          read_status(in, from.getStatus())};
}

void write_vaults(Writing& out, schema::Vaults::Builder to, const VaultsMessage& from) {
  to.setTerm(from.term.value);
  to.setComplete(from.complete);
  write_list(out, to.initVaults(out.count(from.vaults.size(), kMaxHolders)), from.vaults,
             write_vault);
}

VaultsMessage read_vaults(Reading& in, schema::Vaults::Reader from) {
  return {Term(from.getTerm()), from.getComplete(),
          read_list(in, from.getVaults(), kMaxHolders, "vaults", read_vault)};
}

// ---- the union

// One overload per kind of message, for std::visit.
struct WriteMessage {
  Writing& out;
  schema::Message::Builder to;

  void operator()(const HelloMessage& from) { write_hello(out, to.initHello(), from); }
  void operator()(const SuspectMessage& from) { write_suspect(out, to.initSuspect(), from); }
  void operator()(const SealedMessage& from) { write_report(out, to.initSealed(), from.report); }
  void operator()(const FailMessage& from) { write_fail(out, to.initFail(), from); }
  void operator()(const AdmitBegunMessage& from) {
    write_admit_begun(out, to.initAdmitBegun(), from);
  }
  void operator()(const SyncedMessage& from) { write_synced(out, to.initSynced(), from); }
  void operator()(const PeerBeatMessage& from) { write_beat(out, to.initPeerBeat(), from); }
  void operator()(const LeaveMessage&) { to.setLeave(); }
  void operator()(const StatusRequest& from) {
    write_status_request(out, to.initStatusRequest(), from);
  }
  void operator()(const WelcomeMessage& from) { write_welcome(out, to.initWelcome(), from); }
  void operator()(const RefusedMessage& from) { write_refused(out, to.initRefused(), from); }
  void operator()(const EntriesMessage& from) { write_entries(out, to.initEntries(), from); }
  void operator()(const PendingMessage& from) {
    auto pending = to.initPending();
    pending.setTerm(from.term.value);
    pending.setWaiting(from.waiting);
    pending.setBulk(from.bulk);
  }
  void operator()(const SyncStartMessage& from) { write_sync_start(out, to.initSyncStart(), from); }
  void operator()(const CoordinatorBeatMessage& from) {
    to.initCoordinatorBeat().setTerm(from.term.value);
  }
  void operator()(const StatusReply& from) { write_status_reply(out, to.initStatusReply(), from); }
  void operator()(const ProposeMessage& from) { write_propose(out, to.initPropose(), from); }
  void operator()(const GenerationsMessage& from) {
    write_generations(out, to.initGenerations(), from);
  }
  void operator()(const ProposalRefusedMessage& from) {
    write_proposal_refused(out, to.initProposalRefused(), from);
  }
  void operator()(const VaultHereMessage& from) {
    write_vault_here(out, to.initVaultHere(), from);
  }
  void operator()(const VaultCallMessage& from) {
    write_vault_call(out, to.initVaultCall(), from);
  }
  void operator()(const VaultsMessage& from) { write_vaults(out, to.initVaults(), from); }
};

}  // namespace

void write_message(Writing& out, schema::Message::Builder to, const ControlMessage& from) {
  std::visit(WriteMessage{out, to}, from);
}

ControlMessage read_message(Reading& in, schema::Message::Reader from) {
  switch (from.which()) {
    case schema::Message::HELLO: return read_hello(in, from.getHello());
    case schema::Message::SUSPECT: return read_suspect(in, from.getSuspect());
    case schema::Message::SEALED: return SealedMessage{read_report(in, from.getSealed())};
    case schema::Message::FAIL: return read_fail(in, from.getFail());
    case schema::Message::ADMIT_BEGUN: return read_admit_begun(in, from.getAdmitBegun());
    case schema::Message::SYNCED: return read_synced(in, from.getSynced());
    case schema::Message::PEER_BEAT: return read_beat(in, from.getPeerBeat());
    case schema::Message::LEAVE: return LeaveMessage{};
    case schema::Message::STATUS_REQUEST:
      return StatusRequest{in.text(from.getStatusRequest().getRunId(), "run id"),
                           from.getStatusRequest().getGenerations()};
    case schema::Message::WELCOME: return read_welcome(in, from.getWelcome());
    case schema::Message::REFUSED: return read_refused(in, from.getRefused());
    case schema::Message::ENTRIES: return read_entries(in, from.getEntries());
    case schema::Message::PENDING:
      return PendingMessage{Term(from.getPending().getTerm()), from.getPending().getWaiting(),
                            from.getPending().getBulk()};
    case schema::Message::SYNC_START: return read_sync_start(in, from.getSyncStart());
    case schema::Message::COORDINATOR_BEAT:
      return CoordinatorBeatMessage{Term(from.getCoordinatorBeat().getTerm())};
    case schema::Message::STATUS_REPLY: return read_status_reply(in, from.getStatusReply());
    case schema::Message::PROPOSE: return read_propose(in, from.getPropose());
    case schema::Message::GENERATIONS: return read_generations(in, from.getGenerations());
    case schema::Message::PROPOSAL_REFUSED:
      return read_proposal_refused(in, from.getProposalRefused());
    case schema::Message::VAULT_HERE: return read_vault_here(in, from.getVaultHere());
    case schema::Message::VAULT_CALL:
      return VaultCallMessage{in.text(from.getVaultCall().getRunId(), "run id"),
                              read_peer_id(in, from.getVaultCall().getVault())};
    case schema::Message::VAULTS: return read_vaults(in, from.getVaults());
    case schema::Message::NONE: break;
  }
  in.fail("unknown kind " + std::to_string(static_cast<unsigned>(from.which())) + " of a message");
  return LeaveMessage{};
}

}  // namespace rhz::wire
