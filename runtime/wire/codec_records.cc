// Records of the decision log (agreement/record.h).
#include "runtime/wire/codec_parts.h"

namespace rhz::wire {
namespace {

using History = SnapshotRecord::History;

void write_history(Writing& out, schema::SnapshotRecord::History::Builder to, const History& from) {
  to.setEpoch(from.epoch.value);
  write_list(out, to.initMembers(out.count(from.members.size(), kMaxPeers)), from.members,
             write_peer_id);
}

History read_history(Reading& in, schema::SnapshotRecord::History::Reader from) {
  return {Epoch(from.getEpoch()),
          read_list(in, from.getMembers(), kMaxPeers, "members of an old view", read_peer_id)};
}

void write_snapshot(Writing& out, schema::SnapshotRecord::Builder to, const SnapshotRecord& from) {
  write_config(out, to.initConfig(), from.config);
  write_view(out, to.initView(), from.view);
  to.setViewIndex(from.view_index.value);
  write_resolution(out, to.initResolution(), from.resolution);
  write_list(out, to.initRetired(out.count(from.retired.size(), kMaxRetired)), from.retired,
             write_peer_id);
  write_list(out, to.initHistory(out.count(from.history.size(), kMaxHistory)), from.history,
             write_history);
  write_list(out, to.initGenerations(out.count(from.generations.size(), kMaxKnownGenerations)),
             from.generations, write_generation);
}

SnapshotRecord read_snapshot(Reading& in, schema::SnapshotRecord::Reader from) {
  SnapshotRecord to;
  to.config = read_config(in, from.getConfig());
  to.view = read_view(in, from.getView());
  to.view_index = LogIndex(from.getViewIndex());
  to.resolution = read_resolution(in, from.getResolution());
  to.retired = read_list(in, from.getRetired(), kMaxRetired, "retired peers", read_peer_id);
  to.history = read_list(in, from.getHistory(), kMaxHistory, "old views", read_history);
  to.generations =
      read_list(in, from.getGenerations(), kMaxKnownGenerations, "generations", read_generation);
  return to;
}

// One overload per kind of record, for std::visit.
struct WriteRecord {
  Writing& out;
  schema::LogEntry::Record::Builder to;

  void operator()(const ConfigRecord& from) { write_config(out, to.initConfig(), from.config); }
  void operator()(const ViewRecord& from) { write_view(out, to.initView(), from.view); }
  void operator()(const ResolveRecord& from) {
    write_resolution(out, to.initResolve(), from.resolution);
  }
  void operator()(const AdmitRecord& from) { write_admit(out, to.initAdmit(), from); }
  void operator()(const SnapshotRecord& from) { write_snapshot(out, to.initSnapshot(), from); }
  void operator()(const GenerationRecord& from) {
    write_generation(out, to.initGeneration(), from);
  }
};

Record read_record(Reading& in, schema::LogEntry::Record::Reader from) {
  switch (from.which()) {
    case schema::LogEntry::Record::CONFIG: return ConfigRecord{read_config(in, from.getConfig())};
    case schema::LogEntry::Record::VIEW: return ViewRecord{read_view(in, from.getView())};
    case schema::LogEntry::Record::RESOLVE:
      return ResolveRecord{read_resolution(in, from.getResolve())};
    case schema::LogEntry::Record::ADMIT: return read_admit(in, from.getAdmit());
    case schema::LogEntry::Record::SNAPSHOT: return read_snapshot(in, from.getSnapshot());
    case schema::LogEntry::Record::GENERATION: return read_generation(in, from.getGeneration());
    case schema::LogEntry::Record::NONE: break;
  }
  in.fail("unknown kind " + std::to_string(static_cast<unsigned>(from.which())) + " of a record");
  return ConfigRecord{};
}

}  // namespace

void write_admit(Writing& out, schema::AdmitRecord::Builder to, const AdmitRecord& from) {
  to.setOp(from.op.value);
  write_list(out, to.initJoiners(out.count(from.joiners.size(), kMaxPeers)), from.joiners,
             write_member);
  to.setRevision(from.revision);
  to.setRoot(as_data(from.root));
  write_list(out, to.initBulk(out.count(from.bulk.size(), kMaxPeers)), from.bulk, write_member);
}

AdmitRecord read_admit(Reading& in, schema::AdmitRecord::Reader from) {
  AdmitRecord to;
  to.op = OpSeq(from.getOp());
  to.joiners = read_list(in, from.getJoiners(), kMaxPeers, "joiners", read_member);
  to.revision = from.getRevision();
  to.root = in.digest(from.getRoot(), "root of an admit record");
  to.bulk = read_list(in, from.getBulk(), kMaxPeers, "newcomers", read_member);
  return to;
}

void write_entry(Writing& out, schema::LogEntry::Builder to, const LogEntry& from) {
  to.setTerm(from.term.value);
  to.setIndex(from.index.value);
  std::visit(WriteRecord{out, to.getRecord()}, from.record);
}

LogEntry read_entry(Reading& in, schema::LogEntry::Reader from) {
  return {Term(from.getTerm()), LogIndex(from.getIndex()), read_record(in, from.getRecord())};
}

}  // namespace rhz::wire
