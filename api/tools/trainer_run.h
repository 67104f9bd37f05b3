// A run of pipeline_lm under `rhizome run`, with a vault, or with the vaults of several hosts,
// whose peers are killed and started again: what `bench recovery --source` and `bench convergence`
// look at.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/tools/child.h"
#include "api/tools/host_vaults.h"

namespace rhz::tools {

struct TrainerOptions {
  std::string trainer;  // its path
  uint32_t stages = 4, replicas = 1;
  std::vector<std::string> arguments;  // behind --stages and --replicas
  bool log_events = false;             // peers print their seals and installs
  // 0: one vault, which keeps the peers' own states.  Else each peer is of a host of its own, which
  // has a vault for the shards of others, and keeps its own state nowhere.
  bool shards = false;
};

// The path that is given, or pipeline_lm beside this program, or in PATH.  kArgument: no such
// program.
[[nodiscard]] Result<std::string> find_trainer(const std::string& given);

class TrainerRun {
 public:
  static Result<std::unique_ptr<TrainerRun>> start(const TrainerOptions& options);
  ~TrainerRun();  // kills who is left
  TrainerRun(const TrainerRun&) = delete;
  TrainerRun& operator=(const TrainerRun&) = delete;

  // slot: of the peer that says it.
  using OnLine = std::function<void(uint32_t slot, std::string_view line)>;
  // Gives out what the peers say, until the time, or until `wanted()`, or until the run has ended.
  void pump(uint64_t until_ns, const OnLine& on_line, const std::function<bool()>& wanted);
  // False: that slot has no peer now.
  bool kill(uint32_t slot);
  // With shards: the same with the vault of its host; and a new host in its place.
  bool kill_host(uint32_t slot);
  Status replace_host(uint32_t slot) { return hosts_->replace(slot); }
  // Whether any one host may die now; true without shards.
  bool may_lose_host() { return !hosts_ || hosts_->stand(stages_); }
  bool alive() const { return alive_; }
  // Once it has ended.  The exit status as a shell has it.
  int status() const { return shell_status(wait_status_); }
  // The last lines that no peer printed on standard output: why it ended.
  std::string last_words() const;

 private:
  TrainerRun() = default;
  void hear(std::string_view line, const OnLine& on_line);

  std::unique_ptr<HostVaults> hosts_;  // with shards
  uint32_t stages_ = 0;
  Child child_;
  bool alive_ = true;
  int wait_status_ = 0;
  std::map<uint32_t, pid_t> pids_;
  std::vector<std::string> other_lines_;
};

}  // namespace rhz::tools
