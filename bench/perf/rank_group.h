// The ranks of one library: started, commanded over a connection each, asleep in between. The
// protocol is in rank.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/perf/child.h"

namespace rhz::perf {

struct Round {
  std::vector<double> times_us;  // per iteration, of the slowest rank
  double cpu_seconds = 0;        // of all ranks
  std::string congestion;        // of rank 0's busiest connection
};

class RankGroup {
 public:
  explicit RankGroup(int world);
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;
  ~RankGroup();

  // Name of the socket that the ranks connect to.
  const std::string& socket_name() const { return socket_name_; }
  // A launcher of all ranks, or one rank: the group does not mind.
  void start(const std::vector<std::string>& arguments,
             const std::vector<std::string>& environment);
  // Waits until every rank is there.
  void gather();
  // Runs iterations on all ranks; empty times when it fails. After a failure nothing more is run.
  Round run(size_t bytes, int iterations, bool in_place, int timeout_ms);

  const std::string& library() const { return library_; }  // name and version, as the ranks say
  const std::string& failure() const { return failure_; }  // "" while all is well

 private:
  struct Connection {
    int fd = -1;
    std::string unread;
  };

  std::string read_line(Connection& from, int timeout_ms);
  bool accept_one();
  void fail(const std::string& what);

  int world_;
  int listener_ = -1;
  std::string socket_name_;
  std::string library_;
  std::string failure_;
  std::vector<Connection> ranks_;
  std::vector<std::unique_ptr<Child>> children_;
};

}  // namespace rhz::perf
