// All groups of one peer: the root group, of all members, and the sub-communicators split off from
// it or from each other.  They share transport, view and epoch, and are sealed and installed
// together (G4); all else is each Communicator's own. As that, a step function but for the
// transport and completions.  Progress thread only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/split.h"

namespace rhz {

class Groups {
 public:
  struct News {
    GroupId group;
    CommunicatorNews news;
  };
  // Of a split; the root group's id where the choice was to have none.
  using SplitDone = std::function<void(const Status&, GroupId)>;

  Groups(PeerId self, Transport& transport, BufferPool& pool, CommunicatorLimits limits = {});
  ~Groups();

  void set_config(const RunConfig& config);
  void set_costs(const OwnCosts* costs);  // see Communicator
  Communicator& root() { return *groups_.begin()->second.communicator; }
  const Communicator& root() const { return *groups_.begin()->second.communicator; }
  // Null: there is none of that number (any more).
  Communicator* find(GroupId id);

  // An op of the parent; `done` is called on every member with the same status, and there is a
  // Communicator by then.
  void split(Time now, GroupId parent, const SplitChoice& choice, Duration timeout, SplitDone done);

  SealReport seal(Time now, const View& next);
  void install(Time now, const View& view, const Resolution& resolution);
  void end_all(Time now, const Status& status);

  Landing on_header(PeerId from, const wire::FrameHeader& header);
  void on_frame(Time now, PeerId from, const wire::FrameHeader& header, Landing&& landing);

  // Returns when it wants to be called next.
  Time tick(Time now);
  // One group's that has any, into memory that is used again and again; false: none has.
  bool take_news(News& news);

  Epoch epoch() const { return view_.epoch; }
  bool sealed() const { return sealed_; }
  bool draining() const;  // a communicator is
  bool idle() const;  // nothing of the program's is open in any group
  uint64_t ended_ops() const;
  std::vector<std::pair<GroupId, const Communicator*>> all() const;
  // By rank, those included that are gone; empty: the root group.
  const std::vector<PeerId>& members(GroupId id) const { return groups_.at(id).members; }

 private:
  struct Group {
    std::vector<PeerId> members;
    std::unique_ptr<Communicator> communicator;
    RankIndex ranks = {};  // of its view
  };
  struct Split;
  struct Early {  // a frame of a group that was not there yet
    PeerId from;
    wire::FrameHeader header;
    Buffer payload;
  };
  using EarlyOps = std::map<OpSeq, std::vector<Early>>;
  using Aborts = std::map<OpSeq, OpDecision>;

  void freeze(Time now);
  void quiesce();
  void install_group(Time now, GroupId id, Group& group);
  void split_over(Split& split, const OpOutcome& outcome);
  Status add(GroupId id, std::vector<PeerId> members, const Communicator& parent, Epoch since);
  void replay_early(GroupId id, Communicator& communicator);
  Landing early_header(const wire::FrameHeader& header);
  bool has_room() const;
  bool is_gone(GroupId id) const;
  bool is_coming(GroupId id);
  void keep_aborts();
  void drop_what_is_over();

  const PeerId self_;
  Transport& transport_;
  BufferPool& pool_;
  const CommunicatorLimits limits_;
  Window window_;
  RunConfig config_;
  const OwnCosts* own_costs_ = nullptr;

  View view_;                        // of the run, installed
  Resolution resolution_;            // of that view
  bool sealed_ = true;               // nothing moves before the first install
  std::map<GroupId, Group> groups_;  // the root group first
  std::deque<std::unique_ptr<Split>> splits_;
  std::map<GroupId, EarlyOps> early_;
  std::map<GroupId, Aborts> early_aborts_;  // of groups whose split has not ended here: nobody repeats them when all who know the group are gone
  std::deque<GroupId> gone_;   // closed in this epoch: what still comes of them is not early
  uint64_t ended_before_ = 0;  // ops of groups that are gone
};

}  // namespace rhz
