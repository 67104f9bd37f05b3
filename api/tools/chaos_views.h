// What the coordinators of a run, one after the other, say of its view: no decision that anybody was told is lost (C1), and views
// change for a reason.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace rhz::tools {

class ViewWatch {
 public:
  // A coordinator, on the log of the one before: it owes us all that is known.
  void coordinator_began() { owed_ = known_; }
  // A peer has been told of this epoch.
  void known(uint64_t epoch);
  // By the coordinator that runs now.  Empty; or what it has lost, once.
  std::string told(uint64_t epoch);

  // Changes are counted from here on.
  void count();
  void struck(uint32_t victims) { expected_ += kViewsOfAVictim * victims; }
  void entered() { expected_ += counts_; }  // a peer, as a new member
  // Why the view of this epoch came to be: an op that failed by what the program did with it is one.
  void explained(uint64_t epoch, std::string_view cause);
  // Of the views behind this epoch, as far as they were seen: "epoch 7: lost: slot 3 (silent); epoch 8: joined: slot 3".
  std::string causes_behind(uint64_t epoch) const;
  uint64_t changes() const { return changes_; }
  uint64_t expected() const { return expected_; }  // at most
  // Empty; or that there were too many, once.
  std::string flapping();

 private:
  // It goes; and something else, such as another ring around it, may come of it.
  static constexpr uint32_t kViewsOfAVictim = 2;
  // A moment without a processor looks like a broken edge: a ring around it, and the old one again.
  static constexpr uint32_t kViewsOfABusyMachine = 4;
  uint64_t known_ = 0, owed_ = 0;  // the highest epoch that anybody was told; likewise, by coordinators before the present one
  uint64_t newest_ = 0;            // as coordinators told
  uint64_t of_an_op_ = 0;          // the highest epoch that is explained so
  static constexpr size_t kMostCauses = 64;
  std::map<uint64_t, std::string> causes_;
  bool counts_ = false, said_ = false;
  uint64_t changes_ = 0, expected_ = kViewsOfABusyMachine;
};

}  // namespace rhz::tools
