// A run of real processes: a coordinator and ranks (actor.cc), their deaths and their replacements.
//
// Nothing here waits without a deadline.  A rank that does not answer by it is a hang: the test
// fails with everybody's stacks, and from then on every answer is "hang status=-1" at once, so that
// the test comes to its end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/integration/folder.h"
#include "tests/integration/process.h"

namespace rhz::test {

struct ClusterOptions {
  uint32_t world = 4;
  uint32_t max_world = 0;
  uint32_t min_world = 0;
  uint32_t suspicion_ms = 1000;   // times kSlowness
  bool log = false;               // a decision log in a file: the coordinator may be restarted
  std::string run_options = {};   // "verify= protection=", numbers of RHZ_VERIFY_*, RHZ_PROTECTION_*
  std::string rank_options = {};  // "key=value …" for every rank
  Milliseconds patience{kPatienceMs};
};

struct Member {
  std::unique_ptr<Process> process;
  uint32_t slot = 0;
};

class Cluster {
 public:
  explicit Cluster(ClusterOptions options = {});
  ~Cluster();

  // The world's ranks, started and joined.
  void found();
  // Starts a rank and tells it to join; it is the last of members().
  Member& start_rank(const std::string& join_options = "");
  // The members but the last `newcomers` go to the boundary, again and again until so many have
  // entered …
  void open_boundary(uint32_t newcomers);
  // … and both sides tell what came of it.
  void enter(uint32_t newcomers);
  // Fresh ranks take the place of those that are gone.
  void replace(uint32_t count);

  std::vector<Member>& members() { return members_; }
  Member& at_slot(uint32_t slot);
  // Forgets a member and its process, which is killed where it still lives.
  void drop(uint32_t slot);

  void tell_all(const std::string& command);
  // One answer of each member, in the order of members().
  std::vector<Line> answers(const std::string& verb);
  std::vector<Line> all(const std::string& command, const std::string& verb);
  Line answer(Member& member, const std::string& verb);
  Line ask(Member& member, const std::string& command, const std::string& verb);
  // SIGKILL, and the wait for the end of the process.
  void kill_coordinator();
  // On the same address, with the same log.
  void restart_coordinator();
  Process& coordinator() { return *coordinator_; }
  const std::string& address() const { return address_; }
  const std::string& log_path() const { return log_path_; }
  const std::string& folder() const { return folder_.path(); }

  bool hung() const { return hung_; }
  // The ends of everybody's logs; after a hang with their stacks.
  std::string dump();
  Deadline deadline() const { return Clock::now() + options_.patience; }

 private:
  void start_coordinator(const std::string& listen);
  void expect_end(Process& process);
  void joined(Member& member);
  Line hang(const std::string& who, const std::string& verb);

  const ClusterOptions options_;
  const Folder folder_;
  std::string address_, log_path_;
  std::unique_ptr<Process> coordinator_;
  std::vector<Member> members_;
  uint32_t started_ = 0;
  bool hung_ = false;
};

}  // namespace rhz::test
