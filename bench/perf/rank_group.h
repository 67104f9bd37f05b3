// The ranks of one library: started, commanded over a connection each, asleep in between. The
// protocol is in rank.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/perf/child.h"
#include "bench/perf/collective.h"

namespace rhz::perf {

struct Round {
  std::vector<double> times_us;  // per iteration, of the slowest rank
  double cpu_seconds = 0;        // of all ranks
  uint64_t tcp_bytes = 0;        // of all ranks, sent and received
  std::string congestion;        // of rank 0's busiest connection
};

struct Command {
  perf_collective collective = PERF_ALLREDUCE;
  size_t count_elems = 0;
  int iterations = 1;
  bool in_place = false;
  int ops = 1;  // in flight at once
};

class RankGroup {
 public:
  // socket_path: does not exist yet.
  RankGroup(int world, std::string socket_path);
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;
  ~RankGroup();

  int world() const { return world_; }
  // The socket that the ranks connect to: a file, which other network namespaces reach, too.
  const std::string& socket_path() const { return socket_path_; }
  // A launcher of all ranks, or one rank: the group does not mind.
  void start(const std::vector<std::string>& arguments,
             const std::vector<std::string>& environment);
  // Nothing will be run.
  void give_up(const std::string& why) { fail(why); }
  // Waits until every rank is there.
  void gather();
  // Runs iterations on all ranks; empty times when it fails. After a failure nothing more is run.
  Round run(const Command& command, int timeout_ms);

  bool supports(perf_collective collective, int ops) const;
  const std::string& library() const { return library_; }  // name and version, as the ranks say
  const std::string& failure() const { return failure_; }  // "" while all is well

 private:
  struct Connection {
    int fd = -1;
    std::string unread;
  };

  std::string read_line(Connection& from, int timeout_ms);
  bool accept_one();
  void read_answer(int rank, int timeout_ms, Round& round);
  void fail(const std::string& what);

  int world_;
  int listener_ = -1;
  std::string socket_path_;
  std::string library_;
  std::string collectives_;  // ",allreduce,barrier,"
  std::string failure_;
  std::vector<Connection> ranks_;
  std::vector<std::unique_ptr<Child>> children_;
};

}  // namespace rhz::perf
