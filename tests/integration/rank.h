// One rank of an integration test: carries out commands, and says on standard output what came of
// them.
//
//   join timeout_ms= world= follow=  → joined status= slot= rank= epoch= world= synced= revision= text=
//   allreduce id= count= redop= rebuild= in_place= barrier= kill_us= timeout_ms=  → op …
//   collective kind=, then as allreduce and dtype= root= world=  → op …
//   submit (as allreduce, or with kind= as collective), wait id=  → submitted …, op …
//   send or recv id= peer= tag= bytes= content= timeout_ms=, then wait id=  → submitted …, op …
//   cancel id=, scribble id=  → a bit of the input of an open op is not what it was
//   series first= ops= count= kill_us=  → series status= done= wrong= digest= contributors=
//   batch first= ops= count= rebuild= kill_us=  → batch status= wrong= digest= contributors= seqs=
//   admit until=N or world=N, train=1, work=N  → admitted status= joined= rounds= world= epoch= wrong=
//   split name= colour= key=  → split status= rank= world=, a communicator for comm=NAME of ops and views
//   close comm=NAME  → closed
//   costs bytes=  → costs status= known= from= chosen= links= predicted=
//   step, state, spoil, verify, view, barrier, leave, rejoin, prepare count=, reset_peak, bye
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rhizome/rhizome.h"
#include "tests/integration/collective.h"
#include "tests/integration/letter.h"
#include "tests/integration/process.h"
#include "tests/integration/values.h"

namespace rhz::test {

// Of a call that failed; empty for RHZ_OK and RHZ_PENDING.
std::string last_error(rhz_status status);

class Rank {
 public:
  explicit Rank(const Line& options);
  ~Rank();
  // False when it shall end.
  bool obey(const Line& command);

 private:
  struct Open {
    rhz_op* op = nullptr;
    std::unique_ptr<Collective> other;  // than an all-reduce, whose buffers are these
    std::unique_ptr<Letter> letter;     // a send or receive
    std::vector<float> send, recv;
    bool in_place = false, average = false;
    uint32_t slot = 0;
    Clock::time_point submitted;
  };

  rhz_status create(const Line& options);
  static int make_revision(uint64_t revision, const void* update, uint64_t bytes, void* rank);
  void join(const Line& command);
  void run(const Line& command);
  bool submit(const Line& command);
  void fill(Open& open, const Line& command);
  rhz_status submit_allreduce(Open& open, const Line& command);
  void post(const Line& command);
  void wait(const Line& command);
  void tell_letter(uint64_t id, const Open& open, rhz_status status);
  void tell_outcome(uint64_t id, Open& open, rhz_status status);
  void series(const Line& command);
  void batch(const Line& command);
  void cancel(const Line& command);
  void scribble(const Line& command);
  void split(const Line& command);
  void close_part(const Line& command);
  rhz_comm* comm_of(const Line& command);  // comm=NAME, or the run's
  void admit(const Line& command);
  rhz_status work(uint64_t count, uint64_t id, bool& over);
  rhz_status admit_until(uint64_t joined_wanted, const Line& command, uint64_t& joined,
                         uint64_t& rounds);
  void step();
  void state();
  void spoil();
  void verify();
  void view(const Line& command);
  void costs(const Line& command);
  void await_barrier();
  void leave(const Line& command);
  void prepare(const Line& command);
  void reset_peak();
  void rejoin(const Line& command);
  rhz_status barrier();
  rhz_status refresh();  // view_, where there is one
  std::vector<float> buffer(uint64_t count);

  const Line options_;
  rhz_comm* comm_ = nullptr;
  std::map<std::string, rhz_comm*> parts_;  // split off it, by name
  rhz_status created_ = RHZ_OK;
  uint64_t wrong_ = 0;  // elements of results of work()
  bool astray_ = false;  // makes other updates than the members
  rhz_view view_{};
  std::unique_ptr<uint64_t, decltype(&std::free)> state_memory_;
  std::span<uint64_t> state_;  // untouched until it is filled, or synced
  std::map<uint64_t, Open> open_;
  std::vector<std::vector<float>> spare_;  // buffers of ended ops
};

}  // namespace rhz::test
