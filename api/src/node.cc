#include "api/src/node.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {
namespace {
constexpr size_t kMaxMetrics = 8;
constexpr size_t kMostProbed = 4;  // other members whose links are measured
}  // namespace

using wire::FrameHeader;
using wire::Kind;

Node::Node(NodeOptions options, std::function<Time()> clock, Transport& transport, BufferPool& pool,
           recovery::State& state)
    : self_(options.self.id),
      clock_(std::move(clock)),
      transport_(transport),
      pool_(pool),
      state_(state),
      member_(options.run_id, options.self, options.timing),
      groups_(options.self.id, transport, pool, options.limits),
      messenger_(options.self.id, transport, pool, options.message_limits),
      donor_(pool),
      copy_(pool, options.pages),
      puller_(state),
      carrier_(options.carrier),
      bulk_bytes_(options.bulk_bytes),
      copy_step_bytes_(options.copy_step_bytes),
      spare_memory_(std::move(options.spare_memory)),
      shard_news_(std::move(options.shard_news)) {
  own_costs_.cores = options.cores;
  own_costs_.reduce_ps_per_kib = options.reduce_ps_per_kib;
  groups_.set_costs(&own_costs_);
  transport_.set_events(this);
}

Node::~Node() { transport_.set_events(nullptr); }

void Node::control_up(Time now) {
  if (!std::exchange(noted_, true)) note_state();
  member_.connected(now);
  settle(now);
}

void Node::control_down(Time now) {
  member_.disconnected(now);
  settle(now);
}

void Node::control(Time now, const ControlMessage& message) {
  member_.receive(now, message);
  settle(now);
}

Communicator::Handle Node::submit(Time now, GroupId group, const OpSpec& spec, OpCompletion* completion) {
  const auto handle = groups_.find(group)->submit(now, spec, completion);
  settle(now);
  return handle;
}

MessageHandle Node::submit(Time now, const MessageSpec& spec, OpCompletion* completion) {
  return messenger_.submit(now, spec, completion);
}

void Node::cancel(Time now, GroupId group, uint64_t handle) {
  if (handle & kMessageBit) return messenger_.cancel(now, handle);
  if (Communicator* communicator = groups_.find(group)) communicator->cancel(now, handle);
  settle(now);
}

uint64_t Node::result_there(GroupId group, uint64_t handle) {
  Communicator* const communicator = groups_.find(group);
  return communicator ? communicator->result_there(handle) : 0;
}

void Node::input_there(Time now, GroupId group, uint64_t handle, uint64_t bytes) {
  if (Communicator* communicator = groups_.find(group)) communicator->input_there(now, handle, bytes);
  settle(now);
}

void Node::split(Time now, GroupId parent, const SplitChoice& choice, Duration timeout, Groups::SplitDone done) {
  groups_.split(now, parent, choice, timeout, std::move(done));
  settle(now);
}

void Node::close_group(Time now, GroupId group) {
  if (Communicator* communicator = groups_.find(group)) communicator->close(now);
  settle(now);
}

bool Node::publish(const std::string& name, double value) {
  for (Metric& metric : metrics_) {
    if (metric.name != name) continue;
    metric.value = value;
    return true;
  }
  if (metrics_.size() >= kMaxMetrics) return false;
  metrics_.push_back({name, value});
  return true;
}

// A view that this member has seen, and the keeper has not, may have made another one the keeper.
void Node::propose(Time now, Epoch epoch, GenerationRecord generation) {
  if (ended_ || epoch != member_.view().epoch) return;
  member_.propose(now, std::move(generation));
  settle(now);
}

void Node::leave(Time now) {
  member_.leave(now);
  settle(now);
}

void Node::resign(Time now, const Status& status) {
  member_.resign(now, status);
  settle(now);
}

void Node::abandon(Time now, const Status& status) {
  if (!ended_) end(now, status);
}

void Node::settle(Time now) {
  if (settling_) return;
  settling_ = true;
  for (bool again = true; again;) {
    again = heed_news(now);
    for (MemberAction& action : member_.take_actions()) {
      act(now, std::move(action));
      again = true;
    }
  }
  settling_ = false;
  serve_copy(now);
}

// What the ops tell membership.  False: nothing.
bool Node::heed_news(Time now) {
  bool any = false;
  while (groups_.take_news(news_)) {
    any = true;
    const auto& [group, news] = news_;
    if (!news.diverged.is_ok()) member_.resign(now, news.diverged);
    for (const auto& failed : news.failed) member_.fail(now, group, failed.seq, failed.status);
    for (OpSeq seq : news.withdrawn) member_.op_ended(group, seq);
    for (OpSeq seq : news.ended) {
      member_.op_ended(group, seq);
      if (seq == admit_op_ && group == kRootGroup) leave_admit(now);
    }
    if (news.admit_begun == kNoOp) continue;
    admit_op_ = news.admit_begun;
    stand_at_admit(now);
  }
  return any;
}

void Node::tell_shards(const MemberAction& action) {
  if (const auto* a = std::get_if<SealAction>(&action)) shard_news_(a->view);
  if (const auto* a = std::get_if<GenerationAction>(&action)) shard_news_(a->record);
  if (const auto* a = std::get_if<ProposalRefusedAction>(&action)) shard_news_(a->refusal);
  if (const auto* a = std::get_if<VaultsAction>(&action)) shard_news_(a->vaults);
}

void Node::act(Time now, MemberAction&& action) {
  if (shard_news_) tell_shards(action);
  if (auto* a = std::get_if<MemberSend>(&action)) {
    control_out_.push_back(std::move(a->message));
  } else if (auto* a = std::get_if<SealAction>(&action)) {
    groups_.set_config(member_.config());
    messenger_.seal();
    SealReport report = groups_.seal(now, a->view);
    // What the seal itself failed is in the report; membership has to know before the answer comes.
    heed_news(now);
    member_.sealed(now, std::move(report));
  } else if (auto* a = std::get_if<InstallAction>(&action)) {
    install(now, a->view, a->resolution);
  } else if (auto* a = std::get_if<AdmitAction>(&action)) {
    admit(now, a->record);
  } else if (auto* a = std::get_if<SyncAction>(&action)) {
    begin_sync(now, *a);
  } else if (auto* a = std::get_if<PendingAction>(&action)) {
    pending_ = *a;
    prepare_copy(now);
  } else if (auto* a = std::get_if<EndAction>(&action)) {
    end(now, a->status);
  }
}

void Node::install(Time now, const View& view, const Resolution& resolution) {
  installed_ = view;
  if (!joined_ && carries()) carry(now, recovery::Carrier::Way::kForget, nullptr);
  joined_ = true;
  puller_.cancel();  // the tensors are the program's from here on
  const GroupResolution& root = resolution.groups.front();
  const auto n = root.ring.size();
  const auto at = static_cast<size_t>(
      std::find(root.ring.begin(), root.ring.end(), view.rank_of(self_)) - root.ring.begin());
  neighbours_.clear();
  for (size_t step : {size_t{1}, n - 1})
    if (const PeerId id = view.members[root.ring[(at + step) % n].value].id; id != self_)
      neighbours_.push_back(id);
  // Whoever is a member now is no guest any more.
  std::erase_if(guests_, [&](const MemberInfo& guest) { return view.contains(guest.id); });
  name_peers();
  detector_.set_suspicion(milliseconds(member_.config().suspicion_ms));
  detector_.watch(now, neighbours_);
  // The next ones round the ring at distances 1, 2, 4, …: whom the algorithms have to do with.
  std::vector<PeerId> probed;
  for (size_t step = 1; step < n && probed.size() < kMostProbed; step *= 2)
    probed.push_back(view.members[root.ring[(at + step) % n].value].id);
  prober_.watch(now, probed);
  own_costs_.links = prober_.costs();
  doubted_.clear();  // the transport names its peers anew
  groups_.set_config(member_.config());
  groups_.install(now, view, resolution);
  messenger_.set_config(member_.config());
  messenger_.install(now, view);
  prepare_copy(now);
}

void Node::name_peers() {
  std::vector<PeerAddress> peers;
  auto add = [&](const MemberInfo& info) {
    if (info.id != self_) peers.push_back({info.id, info.slot, info.endpoints});
  };
  for (const MemberInfo& member : installed_.members) add(member);
  for (const MemberInfo& guest : guests_)
    if (!installed_.contains(guest.id)) add(guest);
  for (const MemberInfo& guest : bulk_guests_) {
    const bool named = installed_.contains(guest.id) ||
                       std::any_of(guests_.begin(), guests_.end(), [&](auto& g) { return g.id == guest.id; });
    if (!named) add(guest);
  }
  std::vector<PeerId> next;
  if (!neighbours_.empty()) next.push_back(neighbours_.front());
  transport_.set_peers(peers, next);
}

void Node::end(Time now, const Status& status) {
  ended_ = true;
  end_status_ = status;
  if (shard_news_) shard_news_(View{});
  builder_.reset();
  puller_.cancel();
  held_sync_.reset();
  bulk_over_.reset();
  carry_.then = nullptr;
  if (!follower_.applying()) follower_.stop();
  groups_.end_all(now, status);
  messenger_.end_all(now, status);
  donor_.close();
  copy_.close();
}

Time Node::tick(Time now) {
  if (ended_) return kNever;
  Time next = std::min({member_.tick(now), groups_.tick(now), messenger_.tick(now)});
  next = std::min(next, tick_sync(now));
  for (const auto& silent : detector_.tick(now)) {
    // While sealed, frames of a newer epoch hold their lanes, heartbeats behind them: silence means nothing then.
    if (joined_ && !groups_.sealed())
      member_.suspect(now, silent.peer, static_cast<uint8_t>(Evidence::kSilence), false);
  }
  if (!doubted_.empty() && !detector_.self_doubt(now)) {
    for (const auto& [peer, evidence] : std::exchange(doubted_, {}))
      member_.suspect(now, peer, static_cast<uint8_t>(evidence), false);
  }
  if (now >= next_beat_) heartbeat(now);
  probe(now);
  settle(now);
  return std::min({next, next_beat_, groups_.sealed() ? kNever : prober_.next_tick(now)});
}

void Node::heartbeat(Time now) {
  next_beat_ = now + milliseconds(member_.config().heartbeat_ms);
  for (PeerId neighbour : neighbours_) {
    OutFrame beat;
    beat.header.kind = Kind::kHeartbeat;
    transport_.send(neighbour, LaneClass::kExpress, std::move(beat));
  }
  const TransportCounters counters = transport_.counters();
  member_.beat(now, {groups_.epoch(), groups_.ended_ops(), counters.sent_bytes, counters.received_bytes, metrics_, counters.dropped_frames,
                     counters.refused_frames + counters.refused_connections, counters.reconnects});
}

void Node::probe(Time now) {
  if (!joined_ || groups_.sealed()) return;
  const auto probe = prober_.tick(now, idle());
  if (!probe) return;
  OutFrame ping;
  ping.header.kind = Kind::kPing;
  ping.header.op_seq = OpSeq(probe->number);
  if (probe->bytes > 0) {
    if (!(ping.keep = pool_.take(probe->bytes))) return;
    std::memset(ping.keep.data(), 0, probe->bytes);
    ping.payload = {ping.keep.data(), probe->bytes};
  }
  transport_.send(probe->to, probe->bytes > 0 ? LaneClass::kBulk : LaneClass::kExpress, std::move(ping));
}

void Node::answer(Time now, PeerId to, const FrameHeader& ping) {
  asked_ = now;
  OutFrame pong;
  pong.header.kind = Kind::kPong;
  pong.header.op_seq = ping.op_seq;
  transport_.send(to, LaneClass::kExpress, std::move(pong));
}

Landing Node::on_header(PeerId from, const FrameHeader& header) {
  detector_.heard(clock_(), from);
  member_.heard(from);
  Landing landing;
  if (ended_) return landing;
  switch (header.kind) {
    case Kind::kHeartbeat:
      return landing;
    case Kind::kStatePull:
    case Kind::kStateData: {
      const bool pull = header.kind == Kind::kStatePull;
      const bool expected = puller_.expects(from) || follower_.expects(from);
      if (pull ? header.length > recovery::kPullBytes : !expected) return landing;
      if (header.length == 0 || header.length > recovery::kMaxStateDataBytes) return landing;
      landing.keep = pool_.take(header.length);
      if (!landing.keep) return landing;
      landing.verdict = Landing::Verdict::kInto;
      landing.into = landing.keep.data();
      return landing;
    }
    case Kind::kPing:
    case Kind::kPong:
      if (header.length > (header.kind == Kind::kPing ? Prober::kBurstBytes : 0)) return landing;
      if (header.length > 0 && !(landing.keep = pool_.take(header.length))) return landing;
      landing.verdict = Landing::Verdict::kInto;
      landing.into = landing.keep.data();
      return landing;
    default:
      break;
  }
  // A newer epoch may name peers that this one does not know yet.
  if (header.epoch > groups_.epoch()) {
    if (!canary(Rule::kA)) landing.verdict = Landing::Verdict::kHold;
    return landing;
  }
  if (wire::is_message(header.kind))
    return installed_.contains(from) ? messenger_.on_header(clock_(), from, header) : landing;
  landing = groups_.on_header(from, header);
  if (!settling_) settle(clock_());
  return landing;
}

void Node::on_frame(PeerId from, const FrameHeader& header, Landing&& landing) {
  if (ended_) return;
  const Time now = clock_();
  if (header.kind == Kind::kStatePull || header.kind == Kind::kStateData) {
    on_state_frame(now, from, header, std::move(landing));
  } else if (header.kind == Kind::kPing) {
    return answer(now, from, header);
  } else if (header.kind == Kind::kPong) {
    if (!prober_.answered(now, from, header.op_seq.value)) return;
    own_costs_.links = prober_.costs();
    return probe(now);
  } else if (wire::is_message(header.kind)) {
    messenger_.on_frame(now, from, header, std::move(landing));
  } else {
    groups_.on_frame(now, from, header, std::move(landing));
  }
  settle(now);
}

void Node::on_edge_down(PeerId peer, Evidence evidence) {
  if (ended_) return;
  const Time now = clock_();
  lose_donor(now, peer);
  if (joined_ && installed_.contains(peer)) {
    // A death or a refusal is a fact; all other evidence may come of this process having slept.  It waits, for the transport says it once.
    if (evidence > Evidence::kRefused && detector_.self_doubt(now)) doubted_[peer] = evidence;
    else member_.suspect(now, peer, static_cast<uint8_t>(evidence), false);
  }
  settle(now);
}

void Node::on_goodbye(PeerId peer) {
  if (ended_) return;
  lose_donor(clock_(), peer);
  settle(clock_());
}

}  // namespace rhz
