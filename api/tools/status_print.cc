#include "api/tools/status_print.h"

#include <nlohmann/json.hpp>

namespace rhz::tools {
namespace {

using Json = nlohmann::ordered_json;
using ull = unsigned long long;

constexpr size_t kShownFaults = 8;

Rate rate_of(const Rates& rates, PeerId id) {
  const auto at = rates.find(id);
  return at == rates.end() ? Rate{} : at->second;
}

std::string id_text(PeerId id) {
  return format("%016llx%016llx", static_cast<ull>(id.high), static_cast<ull>(id.low));
}

std::string endpoint_of(const PeerStatus& peer) {
  return peer.info.endpoints.empty() ? "?" : peer.info.endpoints.front();
}

std::string slot_text(Slot slot) {
  return slot == kAnySlot ? std::string("any") : std::to_string(slot.value);
}

std::string metrics_text(const PeerStatus& peer) {
  std::string text;
  for (const Metric& m : peer.beat.metrics) text += format(" %s=%g", m.name.c_str(), m.value);
  return text;
}

std::string peer_row(const PeerStatus& peer, const View& view, const Rates& rates) {
  const Rate rate = rate_of(rates, peer.info.id);
  const std::string rank =
      peer.member ? std::to_string(view.rank_of(peer.info.id).value) : std::string("-");
  const std::string state = !peer.member      ? std::string("waits")
                            : !peer.connected ? std::string("away")
                                              : std::string("member");
  return format("%4s %4s  %-7s %-21s %10llu %8.1f %9.2f %7llu %s\n",
                slot_text(peer.info.slot).c_str(), rank.c_str(), state.c_str(),
                endpoint_of(peer).c_str(), static_cast<ull>(peer.beat.ops), rate.ops_per_s,
                rate.sent_Bps / 1e6, static_cast<ull>(peer.silent_ms), metrics_text(peer).c_str());
}

std::string fault_row(const FaultLine& fault) {
  return format("%10.3f s  epoch %-4llu healed in %8.3f ms  %s\n",
                static_cast<double>(fault.at_ms) / 1e3, static_cast<ull>(fault.epoch.value),
                static_cast<double>(fault.heal_us) / 1e3, fault.cause.c_str());
}

}  // namespace

Rates RateMeter::look(const StatusReply& reply, uint64_t now_ns) {
  Rates rates;
  const double seconds = static_cast<double>(now_ns - last_ns_) / 1e9;
  std::map<PeerId, PeerBeatMessage> seen;
  for (const PeerStatus& peer : reply.peers) {
    const auto before = last_.find(peer.info.id);
    if (before != last_.end() && seconds > 0 && peer.beat.ops >= before->second.ops) {
      rates[peer.info.id] = {
          static_cast<double>(peer.beat.ops - before->second.ops) / seconds,
          static_cast<double>(peer.beat.sent_bytes - before->second.sent_bytes) / seconds};
    }
    seen[peer.info.id] = peer.beat;
  }
  last_ = std::move(seen);
  last_ns_ = now_ns;
  return rates;
}

std::string status_table(const StatusReply& reply, const Generations& generations,
                         const Rates& rates) {
  const RunConfig& config = reply.config;
  std::string text = format(
      "run %s   epoch %llu%s   members %u of %u slots (begun with %u, at least %u)\n"
      "coordinator: term %llu, up %.1f s, log at record %llu\n\n"
      "slot rank  state   address                      ops    ops/s      MB/s  silent "
      "published\n",
      config.run_id.c_str(), static_cast<ull>(reply.view.epoch.value),
      reply.view.epoch == Epoch(0) ? " (waiting for peers)"
      : reply.resolved             ? ""
                                   : " (being agreed on)",
      reply.view.size(), config.max_world, config.world, config.min_world,
      static_cast<ull>(reply.term.value), static_cast<double>(reply.uptime_ms) / 1e3,
      static_cast<ull>(reply.last_index.value));
  for (const PeerStatus& peer : reply.peers) text += peer_row(peer, reply.view, rates);
  if (reply.peers.empty()) text += "   (no peers)\n";
  text += shards_table(reply, generations);
  if (reply.faults.empty()) return text;
  text += "\nlast changes of the view\n";
  const size_t from = reply.faults.size() > kShownFaults ? reply.faults.size() - kShownFaults : 0;
  for (size_t i = from; i < reply.faults.size(); ++i) text += fault_row(reply.faults[i]);
  return text;
}

std::string status_line(const StatusReply& reply, const Generations& generations,
                        const Rates& rates) {
  uint32_t waiting = 0;
  uint64_t ops = 0;
  double rate = 0;
  for (const PeerStatus& peer : reply.peers) {
    waiting += !peer.member;
    ops = std::max(ops, peer.beat.ops);
    rate = std::max(rate, rate_of(rates, peer.info.id).ops_per_s);
  }
  std::string text = format("epoch=%llu members=%u waiting=%u ops=%llu ops_per_s=%.1f",
                            static_cast<ull>(reply.view.epoch.value), reply.view.size(), waiting,
                            static_cast<ull>(ops), rate);
  if (!reply.peers.empty()) text += metrics_text(reply.peers.front());
  text += shards_line(reply, generations);
  if (!reply.faults.empty()) {
    const FaultLine& last = reply.faults.back();
    text += format(" last_change=\"%s\" healed_ms=%.3f", last.cause.c_str(),
                   static_cast<double>(last.heal_us) / 1e3);
  }
  return text + "\n";
}

std::string status_json(const StatusReply& reply, const Generations& generations,
                        const Rates& rates) {
  Json peers = Json::array(), faults = Json::array();
  for (const PeerStatus& peer : reply.peers) {
    const Rate rate = rate_of(rates, peer.info.id);
    Json metrics = Json::object();
    for (const Metric& m : peer.beat.metrics) metrics[m.name] = m.value;
    Json one{{"id", id_text(peer.info.id)},
             {"slot", nullptr},
             {"rank", nullptr},
             {"member", peer.member},
             {"connected", peer.connected},
             {"host", format("%016llx", static_cast<ull>(peer.info.host))},
             {"endpoints", peer.info.endpoints},
             {"silent_ms", peer.silent_ms},
             {"epoch", peer.beat.epoch.value},
             {"ops", peer.beat.ops},
             {"sent_bytes", peer.beat.sent_bytes},
             {"received_bytes", peer.beat.received_bytes},
             {"dropped_frames", peer.beat.dropped_frames},
             {"refused", peer.beat.refused},
             {"reconnects", peer.beat.reconnects},
             {"ops_per_s", rate.ops_per_s},
             {"sent_Bps", rate.sent_Bps},
             {"metrics", metrics}};
    if (peer.info.slot != kAnySlot) one["slot"] = peer.info.slot.value;
    if (peer.member) one["rank"] = reply.view.rank_of(peer.info.id).value;
    peers.push_back(std::move(one));
  }
  for (const FaultLine& fault : reply.faults) {
    faults.push_back({{"epoch", fault.epoch.value},
                      {"cause", fault.cause},
                      {"at_ms", fault.at_ms},
                      {"heal_us", fault.heal_us}});
  }
  const RunConfig& config = reply.config;
  const Json all{{"run_id", config.run_id},
                 {"epoch", reply.view.epoch.value},
                 {"resolved", reply.resolved},
                 {"members", reply.view.size()},
                 {"world", config.world},
                 {"max_world", config.max_world},
                 {"min_world", config.min_world},
                 {"term", reply.term.value},
                 {"uptime_ms", reply.uptime_ms},
                 {"last_index", reply.last_index.value},
                 {"suspicion_ms", config.suspicion_ms},
                 {"peers", peers},
                 {"faults", faults},
                 {"vaults_complete", reply.vaults_complete},
                 {"vaults", vaults_json(reply)},
                 {"generations", generations_json(reply, generations)}};
  // Text from peers may be any bytes: what is no UTF-8 is replaced rather than refused.
  return all.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace rhz::tools
