// Connections to the ports of a run that do not come from it: they say what makes no sense, say it
// slowly, announce what never comes, ask without listening, or are silent.  Whoever is turned away
// comes again.  One thread, nothing blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/tools/child.h"
#include "runtime/base/prng.h"
#include "runtime/transport/tcp/address.h"

namespace rhz::tools {

class Strangers {
 public:
  struct Counts {
    uint64_t came = 0, turned_away = 0;
  };
  // `run`: its hash, so that a header of theirs is one of this run.
  Strangers(uint64_t seed, uint64_t run);

  // To these endpoints, as members have them (those that are no TCP port or shm: socket are left
  // out), from now on.
  void come(const std::vector<std::string>& endpoints);
  // What fits; to be called often.
  void go_on();
  void leave() { here_.clear(), ports_.clear(); }
  bool here() const { return !ports_.empty(); }
  const Counts& counts() const { return counts_; }

 private:
  struct Saying {
    std::string bytes = {};
    bool drips = false;   // a byte at a time
    bool listens = true;  // reads what it is told
    bool ends = false;    // and hangs up its half of the connection
  };
  struct Stranger {
    Fd socket;
    size_t saying = 0, said = 0;
  };

  void make_sayings();
  bool say(Stranger& stranger) const;
  bool is_turned_away(Stranger& stranger) const;
  void open_one();

  Prng dice_;
  const uint64_t run_;
  std::vector<Saying> sayings_;
  std::vector<tcp::SocketAddress> ports_;
  std::vector<Stranger> here_;
  Counts counts_;
};

}  // namespace rhz::tools
