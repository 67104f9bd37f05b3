// Runs the peers of one host, a vault for them on request, and by default the run's coordinator: starts them, reads them, passes
// signals on, restarts the dead.  One thread, driven by poll.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/tools/child.h"
#include "api/tools/status_client.h"

namespace rhz::tools {

struct RunOptions {
  uint32_t peers = 0;
  bool restart = false;
  uint32_t max_restarts = 10;  // of one slot, and of the coordinator
  uint32_t longest_pause_ms = 10'000;  // before a restart
  bool vault = false, vault_no_devices = false;
  std::string vault_memory;  // as `rhizome vault --memory` takes it; empty: its default
  std::string shard_memory;  // likewise
  std::string host, rack;    // labels of this host's vault; empty: its defaults
  std::string join, advertise, run_id, log, listen = "127.0.0.1:0";
  int64_t first_slot = -1;  // of those that join; -1: any vacant ones
  uint32_t world = 0, max_world = 0, min_world = 0, suspicion_ms = 0;  // 0: default
  std::vector<std::string> command;
  std::vector<int> networks;  // one for each peer: the network namespace it lives in; empty: all in ours
};

// As the peers will find it.
std::string run_id_of(const RunOptions& options);
// Of the vault: for its peers, and for whoever starts another one.
std::string vault_name_of(const RunOptions& options);

class Supervisor;

// Looks on at every turn of a supervisor, and interferes.
class Onlooker {
 public:
  virtual ~Onlooker() = default;
  // Returns when it wants to look again, at the latest.
  virtual uint64_t look(Supervisor& supervisor, uint64_t now_ns) = 0;
  // A peer has ended.  False: that does not make the run a failure.
  virtual bool peer_ended(size_t peer, int wait_status) = 0;
  // A line on its standard output.
  virtual void peer_said(size_t peer, std::string_view line) = 0;
};

class Supervisor {
 public:
  explicit Supervisor(const RunOptions& options, Onlooker* onlooker = nullptr);
  // The exit status of the whole.
  int run();

  // For the onlooker.  0: does not run now.
  std::vector<pid_t> peers() const;
  pid_t coordinator() const;
  const std::string& coordinator_address() const { return coordinator_address_; }  // empty: not known yet
  void stop(int signal);  // SIGTERM, or SIGKILL

 private:
  enum class State : uint8_t { kIdle, kRunning, kPausing, kDone };
  struct Job {
    std::string label;
    Command command;
    bool is_coordinator = false, is_vault = false;  // else a peer
    bool stopping = false;                          // a service that was told to end
    uint64_t kill_at_ns = 0;                        // and how long it may take
    bool is_peer() const { return !is_coordinator && !is_vault; }
    State state = State::kIdle;
    Child child;
    uint32_t restarts = 0;
    uint64_t started_ns = 0, start_at_ns = 0;
    int wait_status = 0;  // of the last time
    bool excused = false;  // that end was the onlooker's doing
  };

  // supervisor_jobs.cc: one job
  void add_coordinator();
  void add_vault(const std::string& coordinator);
  void add_peers(const std::string& coordinator);
  void start(Job& job);
  void read(Job& job);
  void coordinator_said(std::string_view line);
  void ended(Job& job, int wait_status);
  size_t peer_index(const Job& job) const;
  void end_the_lost(const Job& job);
  bool may_restart(const Job& job) const;
  uint64_t pause_of(const Job& job) const;

  // supervisor.cc: all of them
  bool open_signals();
  void wait_for_events();
  void take_signals();
  void reap();
  void start_due();
  void send_all(int signal);
  void stop_services();
  void stop_service(Job& job);
  bool peers_done() const;
  bool is_whole_run() const;
  Result<StatusReply> ask_coordinator();
  bool others_go_on();
  void look_for_founding(const Job& job);
  void stop_the_unfounded();
  void stop_the_lost();
  int verdict() const;
  void say(const std::string& text) const;

  const RunOptions options_;
  Onlooker* const onlooker_;
  uint64_t onlook_at_ns_ = UINT64_MAX;
  Fd signals_;
  std::vector<Job> jobs_;  // the coordinator, if it is ours, first; then the vault; then the peers
  std::string coordinator_address_;
  int stop_signals_ = 0;  // SIGINT and SIGTERM so far
  // Once the peers of this host have ended: do those of other hosts go on, as last seen?
  std::unique_ptr<StatusClient> status_;
  bool others_ = false;
  uint64_t look_at_ns_ = 0;  // 0: not looking
  int first_failure_ = -1;  // job that failed for good first
  int first_end_ = -1;      // peer that ended for good first, also well
  // As far as is known the run had not been founded then: when to look again.
  uint64_t founding_look_at_ns_ = 0;  // 0: not
  bool unfounded_ = false;            // nor was it, and the others were stopped
  // A peer has said that nothing gives the run's state back; when those that do not end by
  // themselves are told to.
  bool lost_ = false;
  uint64_t stop_at_ns_ = 0;  // 0: never, or done
};

}  // namespace rhz::tools
