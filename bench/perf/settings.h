// What perf_compare is asked for.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/perf/collective.h"

namespace CLI {
class App;
}

namespace rhz::perf {

// Ranks in network namespaces of their own (bench/net/run.sh makes them) instead of all on
// loopback.
struct Network {
  std::string prefix;       // rank i runs in the namespace PREFIXi; "": loopback
  std::string subnet;       // and has the address SUBNET.(i + 1)
  std::string own_address;  // of this process, reachable from all of them
  std::string interface;    // of every rank, to the others
  std::string agent;        // instead of ssh, for launchers: AGENT ADDRESS COMMAND...
  double line_MBps = 0;     // measured with iperf3; 0: unknown

  bool on() const { return !prefix.empty(); }
  std::string address(int rank) const { return subnet + "." + std::to_string(rank + 1); }
};

struct Settings {
  std::vector<int> worlds = {2, 4};
  std::vector<perf_collective> collectives = {PERF_ALLREDUCE};
  std::vector<size_t> sizes;  // bytes
  std::vector<std::string> transports = {"tcp"};
  std::vector<std::string> contenders;  // empty: all of these transports
  int in_flight = 0;                    // > 1: ours once more, with that many ops in flight
  int rounds = 4;
  int iterations = 0;  // per round; 0: by size
  int raw_mib = 512;
  int timeout_s = 120;
  bool in_place = false;
  bool alloc = false;  // ours: buffers by rhz_alloc
  bool ours_only = false;
  bool list = false;
  std::string rebuild = "strict";
  std::string python = "python3";  // that has torch or pypccl
  std::vector<std::string> mpi_arguments;
  std::string json;
  std::string svg;
  Network network;

  int iterations_of(size_t bytes) const;
  bool wants(const std::string& contender, const std::string& transport) const;
};

// Fills `settings` from the command line; false: leave with *exit_status.
bool read_settings(int argc, char** argv, Settings& settings, int* exit_status);

}  // namespace rhz::perf
