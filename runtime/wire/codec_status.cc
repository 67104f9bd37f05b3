// Beats, and the reply to a tool that asks how the run is doing (agreement/message.h).
#include "runtime/wire/codec_parts.h"

namespace rhz::wire {
namespace {

void write_metric(Writing& out, schema::Metric::Builder to, const Metric& from) {
  to.setName(out.exact(from.name));
  to.setValue(from.value);
}

Metric read_metric(Reading& in, schema::Metric::Reader from) {
  return {in.text(from.getName(), "name of a metric"), from.getValue()};
}

void write_fault(Writing&, schema::FaultLine::Builder to, const FaultLine& from) {
  to.setEpoch(from.epoch.value);
  to.setCause(as_text(cut_text(from.cause)));
  to.setAtMs(from.at_ms);
  to.setHealUs(from.heal_us);
}

FaultLine read_fault(Reading& in, schema::FaultLine::Reader from) {
  return {Epoch(from.getEpoch()), in.text(from.getCause(), "cause of a fault"), from.getAtMs(),
          from.getHealUs()};
}

void write_peer(Writing& out, schema::PeerStatus::Builder to, const PeerStatus& from) {
  write_member(out, to.initInfo(), from.info);
  to.setMember(from.member);
  to.setConnected(from.connected);
  to.setSilentMs(from.silent_ms);
  write_beat(out, to.initBeat(), from.beat);
}

PeerStatus read_peer(Reading& in, schema::PeerStatus::Reader from) {
  PeerStatus to;
  to.info = read_member(in, from.getInfo());
  to.member = from.getMember();
  to.connected = from.getConnected();
  to.silent_ms = from.getSilentMs();
  to.beat = read_beat(in, from.getBeat());
  return to;
}

}  // namespace

void write_beat(Writing& out, schema::PeerBeat::Builder to, const PeerBeatMessage& from) {
  to.setEpoch(from.epoch.value);
  to.setOps(from.ops);
  to.setSentBytes(from.sent_bytes);
  to.setReceivedBytes(from.received_bytes);
  write_list(out, to.initMetrics(out.count(from.metrics.size(), kMaxMetrics)), from.metrics,
             write_metric);
  to.setDroppedFrames(from.dropped_frames);
  to.setRefused(from.refused);
  to.setReconnects(from.reconnects);
}

PeerBeatMessage read_beat(Reading& in, schema::PeerBeat::Reader from) {
  return {Epoch(from.getEpoch()), from.getOps(), from.getSentBytes(), from.getReceivedBytes(),
          read_list(in, from.getMetrics(), kMaxMetrics, "metrics", read_metric),
          from.getDroppedFrames(), from.getRefused(), from.getReconnects()};
}

void write_status_reply(Writing& out, schema::StatusReply::Builder to, const StatusReply& from) {
  to.setTerm(from.term.value);
  write_config(out, to.initConfig(), from.config);
  write_view(out, to.initView(), from.view);
  to.setResolved(from.resolved);
  to.setUptimeMs(from.uptime_ms);
  to.setLogBytes(from.log_bytes);
  to.setLastIndex(from.last_index.value);
  write_list(out, to.initPeers(out.count(from.peers.size(), kMaxPeers)), from.peers, write_peer);
  write_list(out, to.initFaults(out.count(from.faults.size(), kMaxFaults)), from.faults,
             write_fault);
  to.setVaultsComplete(from.vaults_complete);
  write_list(out, to.initVaults(out.count(from.vaults.size(), kMaxHolders)), from.vaults,
             write_vault);
}

StatusReply read_status_reply(Reading& in, schema::StatusReply::Reader from) {
  StatusReply to;
  to.term = Term(from.getTerm());
  to.config = read_config(in, from.getConfig());
  to.view = read_view(in, from.getView());
  to.resolved = from.getResolved();
  to.uptime_ms = from.getUptimeMs();
  to.log_bytes = from.getLogBytes();
  to.last_index = LogIndex(from.getLastIndex());
  to.peers = read_list(in, from.getPeers(), kMaxPeers, "peers", read_peer);
  to.faults = read_list(in, from.getFaults(), kMaxFaults, "faults", read_fault);
  to.vaults_complete = from.getVaultsComplete();
  to.vaults = read_list(in, from.getVaults(), kMaxHolders, "vaults", read_vault);
  return to;
}

}  // namespace rhz::wire
