// Who is compared: how the ranks of each library are started, and what forces its transport.
#pragma once

#include <rhizome/rhizome.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/perf/rank_group.h"
#include "bench/perf/settings.h"

namespace rhz::perf {

struct Contender {
  std::string name;                              // "openmpi-shm"
  std::string transport;                         // "tcp" or "shm"
  std::string forced;                            // what makes it use that one, and other settings
  int ops = 1;                                   // in flight at once
  std::shared_ptr<rhz_coordinator> coordinator;  // of ours
  std::shared_ptr<RankGroup> group;              // ended before the coordinator
};

struct Known {
  std::string name;
  std::string transport;
  bool on_request = false;  // takes part only where it is named
  bool wanted = false;
  std::string missing;  // of a wanted one; "": it can run; else what it lacks

  bool takes_part() const { return wanted && missing.empty(); }
};

// In the order of the table; ours first.
std::vector<Known> known_contenders(const Settings& settings);

// Starts those that take part. The coordinator runs in this process: ranks of ours need it for the
// start and for heartbeats alone. A group that did not come up is there with a failure.
std::vector<Contender> start_contenders(const Settings& settings, const std::vector<Known>& known,
                                        int world, const std::string& scratch);

// Where this program lies, and the ranks' programs beside it; ends in a slash.
std::string own_folder();
int cores();

}  // namespace rhz::perf
