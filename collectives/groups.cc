#include "collectives/groups.h"

#include <algorithm>
#include <cstring>

#include "runtime/agreement/group.h"
#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {
namespace {
constexpr size_t kRememberGone = 1024;  // far more than close while a frame is on its way
}

using wire::FrameHeader;
using wire::Kind;

// The op by which a group is split.
struct Groups::Split final : OpCompletion {
  Split(Groups& groups, GroupId parent, const SplitChoice& choice, SplitDone done)
      : groups(groups), parent(parent), choice(choice), done(std::move(done)) {}
  void released(const OpOutcome& outcome) override { groups.split_over(*this, outcome); }
  void finalised(const Status&) override { final = true; }

  Groups& groups;
  const GroupId parent;
  const SplitChoice choice;
  SplitDone done;
  Communicator::Handle handle = 0;
  std::vector<uint64_t> send, recv;
  bool returned = false, final = false;
};

Groups::Groups(PeerId self, Transport& transport, BufferPool& pool, CommunicatorLimits limits)
    : self_(self), transport_(transport), pool_(pool), limits_(limits), window_(limits.window_bytes) {
  groups_[kRootGroup].communicator =
      std::make_unique<Communicator>(self, kRootGroup, transport, pool, window_, limits);
}

Groups::~Groups() = default;

void Groups::set_config(const RunConfig& config) {
  config_ = config;
  for (auto& [id, group] : groups_) group.communicator->set_config(config);
}

void Groups::set_costs(const OwnCosts* costs) {
  own_costs_ = costs;
  for (auto& [id, group] : groups_) group.communicator->set_costs(costs);
}

Communicator* Groups::find(GroupId id) {
  const auto at = groups_.find(id);
  return at == groups_.end() ? nullptr : at->second.communicator.get();
}

// ---- splitting

bool Groups::has_room() const {
  const auto coming = std::count_if(splits_.begin(), splits_.end(),
                                    [](const auto& split) { return !split->returned; });
  const auto closing = std::count_if(groups_.begin(), groups_.end(), [](const auto& group) {
    return group.second.communicator->closing();
  });
  const auto open = static_cast<std::ptrdiff_t>(groups_.size()) - 1 - closing + coming;
  return open < kMaxSubgroups && closing < kMaxSubgroups;
}

void Groups::split(Time now, GroupId parent, const SplitChoice& choice, Duration timeout,
                   SplitDone done) {
  const bool room = has_room();
  splits_.push_back(std::make_unique<Split>(*this, parent, choice, std::move(done)));
  Split& split = *splits_.back();
  const Rank self = view_.rank_of(self_);
  RHZ_ASSERT("G", self != kNoRank);
  split.send = split_table(config_.max_world, view_.members[self.value].slot, self_, choice, room);
  split.recv.assign(split.send.size(), 0);
  OpSpec spec;
  spec.kind = OpKind::kSplit;
  spec.dtype = reduce::Dtype::u64;
  spec.redop = reduce::RedOp::bor;
  spec.count = split.send.size();
  spec.send = reinterpret_cast<const std::byte*>(split.send.data());
  spec.recv = reinterpret_cast<std::byte*>(split.recv.data());
  spec.timeout = timeout;
  split.handle = find(parent)->submit(now, spec, &split);
}

void Groups::split_over(Split& split, const OpOutcome& outcome) {
  split.returned = true;
  if (!outcome.status.is_ok()) return split.done(outcome.status, kRootGroup);
  auto members = split_members(split.recv, split.choice, groups_.at(split.parent).members);
  if (!members || members.value().empty()) return split.done(members.status(), kRootGroup);
  const GroupId id = make_group_id(split.parent, outcome.seq, split.choice.colour);
  const Status added =
      add(id, std::move(members).value(), *find(split.parent), outcome.first_epoch);
  split.done(added, added.is_ok() ? id : kRootGroup);
}

Status Groups::add(GroupId id, std::vector<PeerId> members, const Communicator& parent,
                   Epoch since) {
  const auto [at, fresh] = groups_.try_emplace(id);
  if (!fresh) return Status(Code::kInternal, "two groups have one number");
  Group& group = at->second;
  group.members = std::move(members);
  group.communicator = std::make_unique<Communicator>(self_, id, transport_, pool_, window_, limits_);
  group.communicator->set_config(config_);
  group.communicator->set_costs(own_costs_);
  group.communicator->remember(parent, group.members, since);
  install_group(Time{}, id, group);  // it has no op yet that would care for the time
  replay_early(id, *group.communicator);
  return Status::ok();
}

// ---- views

void Groups::quiesce() {
  // W8: no byte of a caller's buffer is read or written from here on.
  const bool quiet = canary(Rule::kJ) || transport_.quiesce();
  RHZ_ASSERT("J", quiet);
}

void Groups::freeze(Time now) {
  if (sealed_) return;
  sealed_ = true;
  quiesce();
  for (auto& [id, group] : groups_) group.communicator->freeze(now);
}

SealReport Groups::seal(Time now, const View& next) {
  if (!canary(Rule::kE)) freeze(now);
  SealReport report{next.epoch, {}};
  for (auto& [id, group] : groups_) {
    report.groups.push_back(group.communicator->seal(next));
    report.groups.back().members = group.members;
  }
  return report;
}

void Groups::install(Time now, const View& view, const Resolution& resolution) {
  if (canary(Rule::kE)) freeze(now);
  RHZ_ASSERT("V1", view.epoch > view_.epoch && view.epoch == resolution.epoch);
  view_ = view;
  resolution_ = resolution;
  early_.clear();
  keep_aborts();
  gone_.clear();
  sealed_ = false;
  transport_.resume();
  // A split that ends here makes a group that is in this epoch from its beginning.
  for (auto& [id, group] : groups_)
    if (group.communicator->epoch() != view.epoch) install_group(now, id, group);
}

void Groups::install_group(Time now, GroupId id, Group& group) {
  const auto& all = resolution_.groups;
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const GroupResolution& g) { return g.group == id; });
  if (id == kRootGroup) {
    group.ranks = RankIndex(view_);
    return group.communicator->install(now, view_, *found, view_.size());
  }
  const View view = group_view(view_, group.members);
  group.ranks = RankIndex(view);
  GroupResolution here = found != all.end() ? *found : fresh_group(id, view, edges_within(view, view_, resolution_.broken));
  if (auto known = early_aborts_.extract(id)) {
    for (OpDecision& op : here.ops) known.mapped()[op.seq] = std::move(op);
    here.ops.clear();
    for (auto& [seq, op] : known.mapped()) here.ops.push_back(std::move(op));
  }
  group.communicator->install(now, view, here, view_.size());
}

// Of a group whose split has ended for others: an ABORT stands, whoever installs it (rule 6), also when none of them is left at the next seal.
void Groups::keep_aborts() {
  std::erase_if(early_aborts_, [this](const auto& known) { return !is_coming(known.first); });
  for (const GroupResolution& group : resolution_.groups) {
    if (groups_.contains(group.group) || !is_coming(group.group)) continue;
    for (const OpDecision& op : group.ops)
      if (op.outcome == OpDecision::Outcome::kAbort && !canary(Rule::kAbort6)) early_aborts_[group.group][op.seq] = op;
  }
}

bool Groups::is_coming(GroupId id) {
  return std::any_of(splits_.begin(), splits_.end(), [&](const auto& split) {
    if (split->returned) return false;
    Communicator* const parent = find(split->parent);
    const auto seq = parent ? parent->seq_of(split->handle) : std::nullopt;
    return seq && make_group_id(split->parent, *seq, split->choice.colour) == id;
  });
}

void Groups::end_all(Time now, const Status& status) {
  sealed_ = true;
  quiesce();
  for (auto& [id, group] : groups_) group.communicator->end_all(now, status);
}

// ---- frames

Landing Groups::on_header(PeerId from, const FrameHeader& header) {
  Landing landing;
  if (header.epoch > view_.epoch) {  // W1: the sender has installed what we have not seen yet
    landing.verdict = Landing::Verdict::kHold;
    return landing;
  }
  if (header.epoch < view_.epoch || sealed_) return landing;
  const auto group = groups_.find(header.group);
  if (group == groups_.end()) return view_.contains(from) ? early_header(header) : std::move(landing);
  const Rank rank = group->second.ranks.rank_of(from);
  return rank == kNoRank ? std::move(landing) : group->second.communicator->on_header(rank, header);
}

bool Groups::is_gone(GroupId id) const {
  return std::find(gone_.begin(), gone_.end(), id) != gone_.end();
}

// Others may be ahead with a split that has not ended here.  They have no more groups than this
// peer has promised room for, and in each no more ops than may be open.
Landing Groups::early_header(const FrameHeader& header) {
  Landing landing;
  if (is_gone(header.group)) return landing;
  const auto group = early_.find(header.group);
  const bool bounded = group == early_.end() ? early_.size() < kMaxSubgroups
                                             : group->second.contains(header.op_seq) ||
                                                   group->second.size() < 2 * limits_.open_ops;
  if (!bounded || header.length > wire::kEagerBytes) return landing;
  if (header.length > 0 && !(landing.keep = pool_.take(header.length))) return landing;
  landing.verdict = Landing::Verdict::kInto;
  landing.into = landing.keep.data();
  landing.note = kStashed;  // the group may have come into being when the frame is complete
  return landing;
}

void Groups::on_frame(Time now, PeerId from, const FrameHeader& header, Landing&& landing) {
  RHZ_ASSERT("A", header.epoch == view_.epoch && !sealed_);
  const bool stray = header.kind == Kind::kDone && canary(Rule::kG2);
  const auto group = groups_.find(stray ? kRootGroup : header.group);
  if (group == groups_.end()) {
    if (!is_gone(header.group))
      early_[header.group][header.op_seq].push_back({from, header, std::move(landing.keep)});
    return;
  }
  const Rank rank = group->second.ranks.rank_of(from);
  RHZ_ASSERT("D1", rank != kNoRank || header.group != kRootGroup);
  if (rank == kNoRank) return;  // it named a group that it is not in, before that was there
  group->second.communicator->on_frame(now, rank, header, std::move(landing));
}

void Groups::replay_early(GroupId id, Communicator& communicator) {
  const auto at = early_.find(id);
  if (at == early_.end()) return;
  const EarlyOps ops = std::move(at->second);
  early_.erase(at);
  for (const auto& [seq, frames] : ops) {
    for (const Early& frame : frames) {
      const Rank rank = communicator.view().rank_of(frame.from);
      if (rank == kNoRank) continue;
      Landing landing = communicator.on_header(rank, frame.header);
      if (landing.verdict != Landing::Verdict::kInto) continue;
      if (frame.header.length > 0)
        std::memcpy(landing.into, frame.payload.data(), frame.header.length);
      communicator.on_frame(Time{}, rank, frame.header, std::move(landing));
    }
  }
}

// ---- what a driver looks after

Time Groups::tick(Time now) {
  drop_what_is_over();
  Time next = kNever;
  for (auto& [id, group] : groups_) next = std::min(next, group.communicator->tick(now));
  return next;
}

void Groups::drop_what_is_over() {
  while (!splits_.empty() && splits_.front()->final) splits_.pop_front();
  for (auto at = groups_.begin(); at != groups_.end();) {
    const Communicator& communicator = *at->second.communicator;
    if (!communicator.gone() || communicator.has_news()) {
      ++at;
      continue;
    }
    ended_before_ += communicator.ended_ops();
    gone_.push_back(at->first);
    if (gone_.size() > kRememberGone) gone_.pop_front();
    at = groups_.erase(at);
  }
}

bool Groups::take_news(News& news) {
  for (auto& [id, group] : groups_) {
    if (!group.communicator->has_news()) continue;
    news.group = id;
    group.communicator->take_news(news.news);
    return true;
  }
  return false;
}

bool Groups::idle() const {
  return std::all_of(groups_.begin(), groups_.end(),
                     [](const auto& group) { return group.second.communicator->idle(); });
}

bool Groups::draining() const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [](const auto& group) { return group.second.communicator->draining(); });
}

uint64_t Groups::ended_ops() const {
  uint64_t ended = ended_before_;
  for (const auto& [id, group] : groups_) ended += group.communicator->ended_ops();
  return ended;
}

std::vector<std::pair<GroupId, const Communicator*>> Groups::all() const {
  std::vector<std::pair<GroupId, const Communicator*>> all;
  for (const auto& [id, group] : groups_) all.emplace_back(id, group.communicator.get());
  return all;
}

}  // namespace rhz
