#include "tests/sim/network.h"

#include <algorithm>

namespace rhz::sim {

// Messages under way know their stream, which has them.
Network::~Network() {
  for (const auto& known : streams_)
    if (const StreamRef stream = known.lock()) stream->messages.clear();
}

StreamRef Network::open(NodeIndex from, NodeIndex to) {
  auto stream = std::make_shared<Stream>();
  stream->from = from;
  stream->to = to;
  streams_.push_back(stream);
  return stream;
}

Duration Network::latency(NodeIndex from, NodeIndex to) {
  double scale = 0.5 + world_.latency.unit();
  if (config_.spike > 0 && world_.latency.chance(config_.spike)) scale *= 10;
  double slower = 1;  // of the two: times each other they would outlast every bound
  for (NodeIndex who : {from, to})
    if (auto at = slow_.find(who); at != slow_.end()) slower = std::max(slower, at->second);
  scale *= slower;
  return Duration(static_cast<int64_t>(static_cast<double>(config_.base_latency.count()) * scale));
}

void Network::narrow(NodeIndex a, NodeIndex b, Duration per_byte) {
  if (per_byte > Duration::zero())
    narrow_[std::minmax(a, b)] = per_byte;
  else
    narrow_.erase(std::minmax(a, b));
}

Duration Network::per_byte(NodeIndex from, NodeIndex to) const {
  Duration most{};
  if (narrow_.empty()) return most;
  for (const auto& pair : {std::pair{from, from}, std::pair{to, to}, std::pair<NodeIndex, NodeIndex>(std::minmax(from, to))})
    if (const auto at = narrow_.find(pair); at != narrow_.end()) most = std::max(most, at->second);
  return most;
}

Duration Network::slowest() const {
  double scale = config_.spike > 0 ? 15 : 1.5, slower = 1;
  for (const auto& [who, factor] : slow_) slower = std::max(slower, factor);
  return Duration(static_cast<int64_t>(static_cast<double>(config_.base_latency.count()) * scale * slower));
}

void Network::carry(const StreamRef& stream, Action deliver, size_t bytes) {
  if (stream->closed) return;
  stream->messages.push_back(std::move(deliver));
  const auto size = static_cast<int64_t>(bytes);
  stream->leaves = std::max(stream->leaves, world_.now()) + size * per_byte(stream->from, stream->to);
  stream->last = std::max(stream->last + nanoseconds(1), stream->leaves + latency(stream->from, stream->to));
  world_.at(stream->last, [this, stream] { arrive(stream); });
}

void Network::arrive(const StreamRef& stream) {
  if (stream->closed) return stream->messages.clear();
  if (is_cut(stream->from, stream->to)) {
    if (stream->held++ == 0) held_.push_back(stream);
    return;
  }
  Action deliver = std::move(stream->messages.front());
  stream->messages.pop_front();
  deliver();
}

void Network::mend(NodeIndex from, NodeIndex to) {
  auto at = cuts_.find({from, to});
  if (at == cuts_.end()) return;  // healed with everything else meanwhile
  if (--at->second == 0) cuts_.erase(at);
  release_held();
}

void Network::mend_within(const std::set<NodeIndex>& core) {
  for (const auto& [pair, count] : cuts_) {
    const auto& [from, to] = pair;
    if (core.contains(from) && core.contains(to)) continue;
    sever(from, to);
    // A control connection that gets no acknowledgements carries nothing for long, and its ends find that out by silence alone.
    if (from == kCoordinator || to == kCoordinator) sever(to, from);
  }
  cuts_.clear();
  std::erase_if(slow_, [&](const auto& slow) { return core.contains(slow.first); });
  narrow_.clear();  // all of them: whoever still gets on is waited for, at a pace that no bound knows
  release_held();
}

void Network::release_held() {
  std::erase_if(held_, [this](const StreamRef& stream) {
    if (is_cut(stream->from, stream->to)) return false;
    for (; stream->held > 0; --stream->held) {
      stream->last = std::max(stream->last, world_.now()) + nanoseconds(1);
      world_.at(stream->last, [this, stream] { arrive(stream); });
    }
    return true;
  });
}

}  // namespace rhz::sim
