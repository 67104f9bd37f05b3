// A coordinator (on a thread of this process) and the ranks of a benchmark (children), for one run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/src/coordinator_driver.h"
#include "api/tools/bench.h"
#include "api/tools/child.h"

namespace rhz::tools {

struct WorldOptions {
  RankOptions rank;  // slot and coordinator are filled in
  std::string log;   // of the coordinator; empty: in memory
  uint32_t suspicion_ms = 0;
  uint32_t verify = 0, protection = 0;  // as in rhz_coordinator_params
  std::string transport = "auto";
  bool log_events = false;  // ranks print their seals and installs
};

class BenchWorld {
 public:
  static Result<std::unique_ptr<BenchWorld>> start(const WorldOptions& options);
  ~BenchWorld();  // kills who is left

  using OnLine = std::function<void(uint32_t rank, std::string_view line)>;
  // Gives out what the ranks say, until the time, or until `wanted()`, or until all ranks have
  // ended.
  void pump(uint64_t until_ns, const OnLine& on_line, const std::function<bool()>& wanted);
  void signal(uint32_t rank, int signal);
  bool alive(uint32_t rank) const { return ranks_[rank].alive; }
  bool any_alive() const;
  int wait_status(uint32_t rank) const { return ranks_[rank].wait_status; }
  // When its files were closed, as its output tells; 0: not yet.
  uint64_t gone_ns(uint32_t rank) const { return ranks_[rank].gone_ns; }
  uint32_t size() const { return static_cast<uint32_t>(ranks_.size()); }

 private:
  struct Process {
    Child child;
    bool alive = true;
    int wait_status = 0;
    uint64_t gone_ns = 0;
  };
  BenchWorld() = default;
  void read_all(const OnLine& on_line);

  std::unique_ptr<CoordinatorDriver> coordinator_;
  std::vector<Process> ranks_;
};

}  // namespace rhz::tools
