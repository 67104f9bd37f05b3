// A run under faults: strikes by plan, and looks whether the run does what is promised meanwhile.
//   hang            a peer that runs, and is not stopped by us, ends no op for too long; time without a coordinator does not count
//   slow op         an op of a ledger (chaos_ledger.h) took longer than any fault explains
//   false eviction  the view loses a peer that was neither killed nor stopped for longer than the suspicion time; a doubt only, where
//                   this process, which looks fifty times a second, or the evicted one (core_queue.h) was not let run shortly before
//   own failure     a peer ends with a failure that no fault explains (wrong bits are one: the results of all are compared), or by a
//                   signal that nobody here sent (SIGABRT of a peer that got no memory is an end in order)
//   memory          strangers at the ports of a peer, or of the coordinator, make it grow
//   wrong bits      peers that print a ledger do not print the same
//   decision lost   a coordinator that is back on its log knows less than had been told
//   flapping        the view changes more often than what struck explains
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/tools/chaos_absences.h"
#include "api/tools/chaos_faults.h"
#include "api/tools/chaos_ledger.h"
#include "api/tools/chaos_views.h"
#include "api/tools/core_queue.h"
#include "api/tools/lan.h"
#include "api/tools/process_limits.h"
#include "api/tools/status_client.h"
#include "api/tools/strangers.h"
#include "api/tools/supervisor.h"

namespace rhz::tools {

struct ChaosOptions {
  uint64_t seed = 0;
  uint32_t peers = 0;
  double minutes = 1;  // of faults
  double every_s = 2;  // on average
  double stall_s = 30;
  double op_bound_s = 0;  // 0: of stall and suspicion time
  uint32_t suspicion_ms = 1000;
  std::vector<FaultKind> kinds;
  std::map<std::string, uint64_t> required;  // kinds of faults, and kStrangers: how often at least
  std::string run_id, log;  // of the coordinator
  Lan* lan = nullptr;  // the peers' network, where it is ours: slot i on host i + 1, the coordinator on host 0
};

inline constexpr const char* kStrangers = "strangers";

class ChaosRun final : public Onlooker {
 public:
  explicit ChaosRun(const ChaosOptions& options);

  uint64_t look(Supervisor& supervisor, uint64_t now_ns) override;
  bool peer_ended(size_t peer, int wait_status) override;
  void peer_said(size_t peer, std::string_view line) override;

  static constexpr int kInconclusive = 3;
  // Prints what came of it; the exit status.  `run_status`: of the supervisor.
  int report(int run_status) const;
  // Findings, or doubts: what the run leaves behind is worth a look.
  bool has_found() const { return !findings_.empty() || !doubts_.empty(); }
  const Ledger& ledger() const { return ledger_; }

 private:
  enum class Phase : uint8_t { kFounding, kFaults, kCalm, kStopping };
  struct Peer {
    pid_t pid = 0;  // 0: does not run
    std::optional<PeerId> member;  // as the newest view has it
    uint64_t ops = 0;              // as it last said
    bool proven = false;           // ended an op as this member: it has the state
    uint64_t stirred_at_ns = 0;    // it ended an op, began, or was let go
    uint64_t told_at_ns = 0;       // it printed a ledger line
    Absences held;                 // by us
    CoreQueue queue, share;
    Absences in_line, in_slices;   // for a core: by one wait, or by many
    uint64_t resume_at_ns = 0;     // stopped until then, or slow; 0: neither
    bool slow = false, stopped = false, killed = false;
    bool reborn = false;  // another process since the excuse
    bool excused = false;  // by a fault: until it is a member anew, or has stayed one
    uint64_t settled_at_ns = 0;        // not before: what the fault set off may go on for a while
    std::optional<PeerId> before;      // when it was excused
    uint64_t gone_at_ns = 0;           // the view has lost it without an excuse; 0: no
    uint64_t seen_in = 0;              // the newest epoch that has it
    std::string lost_by;               // by which views
    uint64_t since_ns = 0, peak_before = 0;  // it runs; what it had resident at most when the strangers came, 0: not known
    uint64_t by_strangers = 0;               // what they have cost it since it runs, in bytes
    bool starved = false;                    // it got no files or memory
  };

  void note_machine(uint64_t now_ns);
  void note_processes(const Supervisor& supervisor);
  void wake_the_stopped();
  void observe(const StatusReply& reply);
  void observe_peer(size_t slot, const PeerStatus* status);
  void strike(const Supervisor& supervisor);
  void strike_one(const Fault& fault, size_t peer);
  void kill_joiners(const Fault& fault);
  bool reset(size_t peer, uint32_t one_in);
  // chaos_scarcity.cc
  struct Scarcity {
    FaultKind kind{};
    uint64_t until_ns = 0;  // 0: none
    uint64_t lasts_ns = 0;
    bool of_coordinator = false;
    std::vector<uint32_t> victims;  // slots
    ScarceLimit limit;
    pid_t coordinator = 0;
    uint64_t epoch = 0, coordinator_peak = 0, came = 0;  // before it; the strangers too
  };
  void strike_scarcity(const Supervisor& supervisor, const Fault& fault);
  void begin_scarcity(const Supervisor& supervisor, Scarcity&& next, const std::string& left);
  std::vector<std::string> endpoints_of_the_struck(const Supervisor& supervisor) const;
  void tend_scarcity();
  void look_for_growth();
  // chaos_network.cc
  void strike_network(const Fault& fault);
  void tend_network();
  void change_weather();
  void note_absences();
  void note_queues();
  void note_shares();
  void look_for_hangs(const Supervisor& supervisor);
  void look_for_slowness(size_t slot, const LedgerLine& line);
  void look_for_evictions();
  void say_evicted(size_t slot);
  bool is_calm() const;
  bool is_time_over() const;
  void print_counts(uint32_t faults) const;
  std::vector<std::string> missing() const;
  void find(const char* what, const std::string& text);
  void doubt(const std::string& text);
  void stop(Supervisor& supervisor, int signal);
  bool healthy(const Peer& peer) const { return peer.pid && peer.proven && !peer.resume_at_ns && !peer.excused; }
  bool is_up_to_date() const;
  void signal(Peer& peer, int number);
  void say(const std::string& text) const;

  const ChaosOptions options_;
  FaultPlan plan_;
  Phase phase_ = Phase::kFounding;
  uint64_t now_ns_ = 0, begun_ns_ = 0, faults_begun_ns_ = 0, calm_since_ns_ = 0, kill_at_ns_ = 0;
  std::vector<Peer> peers_;
  std::unique_ptr<StatusClient> status_;
  Time seen_at_{};
  uint64_t seen_ns_ = 0, struck_at_ns_ = 0;  // the newest word of the coordinator; the last fault that takes somebody out
  pid_t coordinator_ = 0;
  bool coordinator_killed_ = false;         // and not yet seen to be gone
  uint64_t coordinator_starved_until_ns_ = 0;  // until then it may end by itself
  uint64_t coordinator_since_ns_ = 0;  // it runs; 0: it does not
  Absences coordinator_away_, machine_away_;
  CoreQueue coordinator_queue_, coordinator_share_;
  Absences coordinator_in_line_, coordinator_in_slices_;
  uint64_t queues_seen_ns_ = 0, shares_seen_ns_ = 0;
  uint64_t epoch_ = 0;                 // the newest seen
  ViewWatch views_;

  // The network's fault: one at a time, so that what comes of it can be told.
  struct NetworkFault {
    FaultKind kind{};
    std::vector<uint32_t> victims;  // slots
    uint64_t until_ns = 0;          // 0: none
    uint64_t lasts_ns = 0;
    double strength = 0;
    bool down = true;               // of a flip-flop, now
  };
  NetworkFault network_;
  uint64_t network_quiet_at_ns_ = 0;  // and then the next one

  Scarcity scarcity_;
  Strangers strangers_;
  uint64_t coordinator_by_strangers_ = 0;  // what they have cost it since it runs, in bytes
  uint64_t most_growth_ = 0;               // of one whose ports had strangers, in bytes
  uint64_t weighed_ = 0;                   // strangers whose cost was looked at (with a sanitizer, which has the memory: all of garbage)

  Ledger ledger_;
  bool may_reset_ = true;
  std::map<FaultKind, uint32_t> struck_;
  uint32_t skipped_ = 0, restarts_ = 0, returns_ = 0;
  std::vector<std::string> findings_, doubts_;
};

}  // namespace rhz::tools
