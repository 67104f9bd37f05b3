// The invariants of docs/protocol.md, checked against everything that happens anywhere: an
// omniscient ledger of views, releases and states.  The first violation ends the run.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "collectives/communicator.h"
#include "runtime/agreement/record.h"
#include "tests/sim/deadlines.h"
#include "tests/sim/network.h"
#include "tests/sim/payload.h"

namespace rhz::sim {

class Oracles {
 public:
  Oracles(World& world, const Config& config)
      : world_(world), seed_(config.seed), min_world_(config.run.min_world), deadlines_(world, config) {}

  bool violated() const { return !violation_.empty(); }
  const std::string& violation() const { return violation_; }
  void fail(const char* invariant, const std::string& text);

  // The log, as it is on disk.
  void appended(const LogEntry& entry);
  void cut(const LogEntry& snapshot);
  bool is_durable(const LogEntry& entry) const;
  // C1: nothing may be told that is not in the log.
  void told(const ControlMessage& message);
  // What a member said as it was sealed.
  void reported(NodeIndex who, const SealReport& report);

  // What a process did.
  void submitted(NodeIndex who, const OpKey& op) { submitters_[op].insert(who); }
  // O5: everything that a program has begun, and that it ended; `bytes` of its largest buffer.
  void begun(NodeIndex who, const OpKey& op, Duration timeout, uint64_t bytes) { deadlines_.begun(who, op, timeout, bytes); }
  void ended(NodeIndex who, const OpKey& op);
  void gone(NodeIndex who) { deadlines_.gone(who); }
  void healed(std::set<NodeIndex> core, Duration slowest) { deadlines_.healed(std::move(core), slowest); }
  std::string overdue() const { return deadlines_.look(); }
  struct Release {
    NodeIndex who = 0;
    GroupId group;
    OpKey op;
    Workload workload;
    Code code = Code::kOk;
    bool rule_a = false;
    bool unprotected = false;  // some may lose it where others have it
    Algorithm algorithm = Algorithm::kAuto;  // kAuto: it was begun elsewhere, and rebuilt before it was here
    std::vector<HeldRun> held;
    std::vector<uint64_t> chunk_hashes;
    bool final = false;
    // Of collectives with blocks: lineage of each chunk that this process got, and whether zeros stand for it.
    std::map<uint32_t, std::pair<Epoch, bool>> pieces = {};
  };
  struct Care {
    bool rule_a = false, unprotected = false;
  };
  void released(NodeIndex who, GroupId group, const OpKey& op, const Workload& workload, const OpOutcome& outcome,
                const std::vector<HeldRun>& held, const Layout& layout, const std::byte* result,
                const View& installed, Care care);
  // The same for collectives with blocks.
  struct BlockRelease {
    const Communicator::OpState* state = nullptr;
    const std::byte* result = nullptr;
    const View* installed = nullptr;
    Care care;
  };
  void released_blocks(NodeIndex who, GroupId group, const OpKey& op, const Workload& workload,
                       const OpOutcome& outcome, const BlockRelease& of);
  // A bit of a value of this op was changed on its way.
  void flipped(GroupId group, OpSeq seq) { flipped_.insert({group, seq}); }
  // O2: nobody can need it any more, so all who say so have the same bits.
  void finalised(NodeIndex who, GroupId group, OpSeq seq);
  // O1 for admit ops: over in the same way for everybody.
  void left_boundary(NodeIndex who, const OpKey& op, const OpOutcome& outcome);
  // A sub-communicator: whoever stays has the same members in it, in the same order.
  void entered_group(NodeIndex who, GroupId group, const std::vector<PeerId>& members);
  // What ops of the group are chosen by from now on: the same numbers for all who stay.
  void learned(NodeIndex who, GroupId group, const Chooser& chooser);
  void installed(NodeIndex who, const View& view);
  void finished_step(NodeIndex who, uint64_t step, uint64_t state_hash);
  // A joiner's state as it becomes a member.
  void entered(NodeIndex who, uint64_t step, uint64_t state_hash);
  // A newcomer has pulled this in bulk.
  void pulled(NodeIndex who, uint64_t step, uint64_t state_hash);
  // … and has applied what the members recorded since.
  void followed(NodeIndex who, uint64_t step, uint64_t state_hash);
  void received_message() { ++messages_; }
  // L1: what each member of the newest view holds.
  struct Holding {
    NodeIndex who;
    GroupId group;
    std::vector<Communicator::OpState> ops;
  };
  void check_lineages(const std::vector<Holding>& holdings);

  const View& newest() const { return view_; }
  bool is_member(NodeIndex who) const { return members_.contains(who); }
  uint64_t releases() const { return releases_count_; }
  uint64_t messages() const { return messages_; }
  uint64_t rebuilt() const { return rebuilt_; }
  uint64_t included() const { return included_; }
  uint64_t aborts() const { return aborts_; }
  uint64_t pulled_count() const { return pulled_count_; }    // in bulk
  uint64_t followed_count() const { return followed_count_; }  // updates
  uint64_t entered_count() const { return entered_count_; }  // behind the founders
  uint64_t removed_count() const { return removed_count_; }
  uint64_t learned_count() const { return learned_.size(); }
  uint64_t rerouted_count() const { return rerouted_count_; }
  uint64_t members_seen() const { return members_seen_; }

 private:
  struct Past {
    View view;
    Resolution resolution;
    bool resolved = false;
  };
  struct Stage {  // of a group in an epoch
    View view;
    GroupResolution resolution;
  };
  const Stage* stage(GroupId group, Epoch epoch);
  void check_answers(const Resolution& resolution);
  bool strays(NodeIndex who);
  void check_state(NodeIndex who, uint64_t step, uint64_t state_hash, const char* how);
  std::vector<NodeIndex> contributors(GroupId group, Epoch lineage, OpSeq seq);
  // And those who had gone by then, and whose input had left them.
  std::vector<NodeIndex> contributors(GroupId group, const HeldRun& run, OpSeq seq);
  std::vector<NodeIndex> order(const Release& release, Epoch lineage, OpSeq seq, uint32_t chunk);
  std::vector<NodeIndex> givers(GroupId group, const Whom& sources, Epoch lineage, OpSeq seq);
  void check_piece(Release& release, const BlockRelease& of, const OpOutcome& outcome,
                   const HeldRun& run, size_t run_number);
  void note_bits(Release& release, const OpOutcome& outcome, const BlockRelease& of) const;
  bool excuses_bits(const Release& release, OpSeq seq);
  void check_value(const Release& release, OpSeq seq, const Layout& layout,
                   const std::byte* result);
  void check_contributors(const Release& release, OpSeq seq, const View& installed,
                          const OpOutcome& outcome);
  void compare(const Release& a, const Release& b, OpSeq seq);
  std::string compose(const Release& release, const Layout& layout, uint32_t chunk,
                      const std::byte* result) const;

  World& world_;
  std::string violation_;
  std::map<LogIndex, LogEntry> log_;
  std::vector<AdmitRecord> admits_;  // ever logged
  std::set<std::tuple<Epoch, GroupId, PeerId, OpSeq>> carried_on_;  // FAILs in reports for that epoch that every program has to hear of
  View view_;
  std::set<NodeIndex> members_, once_members_;
  std::map<Epoch, Past> past_;
  std::map<NodeIndex, Epoch> installed_;
  std::map<OpKey, std::set<NodeIndex>> submitters_;
  std::map<std::pair<GroupId, OpSeq>, std::vector<Release>> releases_;
  std::map<GroupId, std::vector<PeerId>> groups_;
  std::map<GroupId, NodeIndex> told_group_;  // by whom groups_ is
  std::map<std::pair<GroupId, Epoch>, Stage> stages_;
  std::map<std::pair<GroupId, OpSeq>, std::pair<Costs, NodeIndex>> learned_;
  std::map<std::pair<OpKey, uint32_t>, std::map<std::vector<NodeIndex>, uint64_t>> right_;
  std::map<uint64_t, std::vector<std::pair<NodeIndex, uint64_t>>> states_;
  std::map<NodeIndex, std::pair<uint64_t, uint64_t>> bases_;  // of joiners: step and state
  std::set<NodeIndex> astray_;  // until they pull anew
  uint64_t messages_ = 0;
  uint64_t releases_count_ = 0, rebuilt_ = 0, included_ = 0, aborts_ = 0, members_seen_ = 0;
  uint64_t pulled_count_ = 0, followed_count_ = 0;
  uint64_t entered_count_ = 0, removed_count_ = 0, rerouted_count_ = 0;
  const uint64_t seed_;
  const uint32_t min_world_;
  Deadlines deadlines_;
  std::set<std::pair<GroupId, OpSeq>> flipped_;
  bool tainted_ = false;  // results that were changed on their way have been returned, as rule b allows
};

}  // namespace rhz::sim
