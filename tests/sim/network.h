// What lies between processes: streams that deliver late and in order, and cuts that hold them up.
// Nothing is lost on a stream that is open at both ends, as with TCP; what a cut holds arrives
// after the healing, perhaps in an epoch that is long over.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "tests/sim/config.h"
#include "tests/sim/world.h"

namespace rhz::sim {

using NodeIndex = uint32_t;  // a process, by its incarnation
inline constexpr NodeIndex kCoordinator = ~0u;

// One direction of a connection.
struct Stream {
  NodeIndex from = 0, to = 0;
  Time last{};          // arrival of the newest message
  Time leaves{};        // its last byte leaves then, where bandwidth has collapsed
  bool closed = false;  // what is under way arrives nowhere
  uint32_t held = 0;    // due, but behind a cut
  std::list<Action> messages;  // no memory while there is none
};
using StreamRef = std::shared_ptr<Stream>;

class Network {
 public:
  Network(World& world, const Config& config) : world_(world), config_(config) {}
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  StreamRef open(NodeIndex from, NodeIndex to);
  // `deliver` is called at the far end.
  void carry(const StreamRef& stream, Action deliver, size_t bytes = 0);
  Duration latency(NodeIndex from, NodeIndex to);

  bool is_cut(NodeIndex from, NodeIndex to) const {
    return cuts_.contains({from, to}) || severed_.contains({from, to});
  }
  void cut(NodeIndex from, NodeIndex to) { ++cuts_[{from, to}]; }
  void mend(NodeIndex from, NodeIndex to);
  void sever(NodeIndex from, NodeIndex to) { severed_.insert({from, to}); }  // for good
  // All is well between these, but what is severed; what else is cut is severed now.
  void mend_within(const std::set<NodeIndex>& core);
  // Everything to and from this process takes so many times as long.
  void slow(NodeIndex who, double factor) { slow_[who] = factor; }

  // A byte between these takes so long, or to and from one where both are the same; 0: no time again.
  void narrow(NodeIndex a, NodeIndex b, Duration per_byte);
  // What was given to the stream has left it after so long.
  Duration backlog(const Stream& stream) const { return std::max(stream.leaves - world_.now(), Duration::zero()); }
  // The longest that a message between these may take now.
  Duration slowest() const;

 private:
  Duration per_byte(NodeIndex from, NodeIndex to) const;
  void arrive(const StreamRef& stream);
  void release_held();

  World& world_;
  const Config& config_;
  std::map<std::pair<NodeIndex, NodeIndex>, uint32_t> cuts_;
  std::set<std::pair<NodeIndex, NodeIndex>> severed_;
  std::map<NodeIndex, double> slow_;
  std::map<std::pair<NodeIndex, NodeIndex>, Duration> narrow_;  // the smaller one first
  std::vector<StreamRef> held_;
  std::vector<std::weak_ptr<Stream>> streams_;  // all of them
};

}  // namespace rhz::sim
