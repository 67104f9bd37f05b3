// A peer for `rhizome chaos`: all-reduces without end, several in flight, of sizes and modes that the number of the step draws.
// Each element of a result is compared with what the contributors make that the library names, and a ledger line
// (api/tools/chaos_ledger.h) lets the supervisor compare the peers.  It uses rhizome.h alone, as a trainer would.
#include <poll.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include "rhizome/rhizome.h"
#include "runtime/base/prng.h"
#include "tests/integration/values.h"

namespace rhz::test {
namespace {

constexpr uint64_t kMostInFlight = 3;
constexpr uint64_t kOpsOfAStep = 8;  // numbers, more than there are ops
constexpr uint64_t kVerifyEvery = 16;  // steps
constexpr int kJoinPauseMs = 100, kMostJoins = 600;

struct Options {
  uint64_t bytes = 64 << 10, state_bytes = 64 << 10, pace_ms = 5;
  uint64_t leak_mib_per_s = 0, leak_slot = 0;
};

void pause(uint64_t ms) { (void)poll(nullptr, 0, static_cast<int>(ms)); }
bool is_out(rhz_status status) { return status >= RHZ_ERR_EVICTED; }

// Sums of these over any set of slots are exact and differ, whatever the order: they are numbers modulo 2^64.
uint64_t word(uint64_t op, uint32_t slot, uint64_t i) { return mix64(mix64(op * 64 + slot + 1) + i); }

class Peer {
 public:
  explicit Peer(const Options& options) : options_(options), state_(options.state_bytes / sizeof(uint64_t) + 2) {}
  // Does not return but for an error that nothing can be done about.
  int run() {
    for (int tries = 0; tries < kMostJoins; ++tries, pause(kJoinPauseMs)) {
      const rhz_status joined = join();
      rhz_status status = joined;
      while (status == RHZ_OK) status = step();
      std::printf("ended step=%llu status=%d text=\"%s\"\n", number(state_[0]), status, rhz_last_error());
      if (status == RHZ_ERR_DIVERGED) tell(state_[0] * kOpsOfAStep + kOpsOfAStep - 1, "outcome=diverged wrong=1");
      close();
      if (joined == RHZ_OK) tries = 0;
    }
    return 1;
  }

 private:
  struct Op {
    rhz_op* op = nullptr;
    uint64_t number = 0, us = 0, epoch = 0;
    bool in_place = false;
    std::vector<uint64_t> send, recv;
    rhz_status status = RHZ_PENDING;
    std::string line;
  };
  static unsigned long long number(uint64_t value) { return value; }

  // state_[0]: the step; [1]: what all results so far make; behind them what these two make.
  void fill() {
    for (size_t i = 2; i < state_.size(); ++i) state_[i] = mix64(state_[0] ^ mix64(state_[1] + i));
  }
  bool is_whole() const {
    for (size_t i = 2; i < state_.size(); ++i)
      if (state_[i] != mix64(state_[0] ^ mix64(state_[1] + i))) return false;
    return true;
  }

  rhz_status join() {
    rhz_comm_params params{};
    params.struct_size = sizeof params;
    std::fill(state_.begin(), state_.end(), 0);
    fill();
    rhz_status status = rhz_comm_create(&params, &comm_);
    rhz_tensor tensor{};
    tensor.struct_size = sizeof tensor;
    tensor.name = "state";
    tensor.data = state_.data();
    tensor.count_elems = state_.size();
    tensor.dtype = RHZ_DTYPE_U64;
    if (status == RHZ_OK) status = rhz_state_register(comm_, &tensor);
    if (status == RHZ_OK) status = rhz_comm_join(comm_, 0);
    if (status == RHZ_OK) status = refresh();
    if (status != RHZ_OK) return status;
    std::printf("joined slot=%u epoch=%llu world=%u step=%llu\n", view_.slot, number(view_.epoch), view_.world_size, number(state_[0]));
    at_boundary_ = view_.joined != 0;
    if (at_boundary_ && !is_whole()) tell(state_[0] * kOpsOfAStep + kOpsOfAStep - 1, "outcome=\"another state than the members have\" wrong=1");
    return view_.joined ? RHZ_OK : rhz_state_commit(comm_, 1);
  }

  rhz_status refresh() {
    view_ = {};
    view_.struct_size = sizeof view_;
    return rhz_comm_view(comm_, &view_);
  }

  // Ops, what they make, a revision, a boundary.
  rhz_status step() {
    const uint64_t dice = mix64(state_[0]);
    const size_t flight = 1 + dice % kMostInFlight;
    rhz_status status = at_boundary_ ? RHZ_OK : refresh();
    at_boundary_ = false;
    const size_t first = ops_.size();
    for (size_t i = 0; status == RHZ_OK && i < flight; ++i) status = submit(state_[0] * kOpsOfAStep + i);
    uint64_t made = state_[1];
    for (size_t i = first; status == RHZ_OK && i < ops_.size(); ++i) {
      finish(ops_[i]);
      if (is_out(ops_[i].status)) status = ops_[i].status;
      for (const uint64_t value : ops_[i].recv) made = mix64(made) ^ value;
    }
    if (status == RHZ_OK) tell_the_final(first);
    if (status != RHZ_OK) return status;
    state_[1] = made;
    ++state_[0];
    fill();
    status = rhz_state_commit(comm_, state_[0] + 1);
    if (status == RHZ_OK && state_[0] % kVerifyEvery == 0) status = join_in(&rhz_state_verify);
    if (status == RHZ_OK) status = join_in(&rhz_admit);  // last: newcomers begin behind it
    leak();
    pause(options_.pace_ms);
    return status;
  }

  rhz_status submit(uint64_t op_number) {
    const uint64_t dice = mix64(op_number + 1);
    const uint64_t most = std::max<uint64_t>(1, options_.bytes / sizeof(uint64_t));
    Op& op = ops_.emplace_back();
    op.number = op_number;
    op.in_place = dice & 1;
    // As often small as large.
    op.recv.resize(1 + mix64(dice) % std::max<uint64_t>(1, most >> (dice >> 1) % 12));
    for (size_t i = 0; i < op.recv.size(); ++i) op.recv[i] = word(op_number, view_.slot, i);
    if (!op.in_place) {
      op.send = op.recv;
      std::fill(op.recv.begin(), op.recv.end(), 0);
    }
    rhz_allreduce_params params{};
    params.struct_size = sizeof params;
    params.send = op.in_place ? nullptr : op.send.data();
    params.recv = op.recv.data();
    params.count_elems = op.recv.size();
    params.dtype = RHZ_DTYPE_U64;
    params.rebuild = dice & 32 ? RHZ_REBUILD_KEEP : RHZ_REBUILD_STRICT;
    return rhz_allreduce(comm_, &params, &op.op);
  }

  void finish(Op& op) {
    op.status = rhz_op_wait(op.op, 0, RHZ_WAIT_DEFAULT);
    rhz_op_info info{};
    info.struct_size = sizeof info;
    if (rhz_op_info_get(op.op, &info) == RHZ_OK) {
      op.us = info.wait_us + info.run_us + info.release_us;
      op.epoch = info.last_epoch;
    }
    if (op.status != RHZ_OK) {
      op.line = "outcome=" + std::to_string(op.status);
      op.recv.assign(1, static_cast<uint64_t>(op.status));  // what it makes is the same everywhere
      return;
    }
    Verdict verdict;
    uint64_t digest = 0;
    for_each_stretch(op.op, 0, op.recv.size(), verdict, [&](uint64_t begin, uint64_t end, const std::vector<uint32_t>& slots) {
      for (uint64_t i = begin; i < end; ++i) {
        uint64_t expected = 0;
        for (const uint32_t slot : slots) expected += word(op.number, slot, i);
        verdict.wrong += op.recv[i] != expected;
        digest = mix64(digest) ^ op.recv[i];
      }
    });
    for (size_t i = 0; i < op.send.size(); ++i) verdict.wrong += op.send[i] != word(op.number, view_.slot, i);
    char hex[17];
    std::snprintf(hex, sizeof hex, "%016llx", number(digest));
    op.line = "outcome=0 digest=" + std::string(hex) + " contributors=" + verdict.contributors +
              " wrong=" + std::to_string(verdict.wrong);
  }

  // Those before this step's: until now another peer could have got something else.
  void tell_the_final(size_t count) {
    for (; count > 0; --count) {
      Op& op = ops_.front();
      if (rhz_op_wait(op.op, 0, RHZ_WAIT_FINAL) == op.status)
        tell(op.number, op.line + " us=" + std::to_string(op.us) + " epoch=" + std::to_string(op.epoch));
      (void)rhz_op_release(op.op);
      ops_.pop_front();
    }
  }

  static void tell(uint64_t op_number, const std::string& text) {
    std::printf("ledger op=%llu %s\n", number(op_number), text.c_str());
    std::fflush(stdout);
  }

  // As `rhizome chaos` has to find it.
  void leak() {
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    const bool leaks = view_.slot == options_.leak_slot;
    while (leaks && static_cast<double>(leaked_.size()) < seconds * static_cast<double>(options_.leak_mib_per_s)) leaked_.emplace_back(1 << 20, 'x');
  }

  // An op without buffers.
  rhz_status join_in(rhz_status (*submit)(rhz_comm*, rhz_op**)) {
    rhz_op* op = nullptr;
    rhz_status status = submit(comm_, &op);
    if (status == RHZ_OK) status = rhz_op_wait(op, 0, RHZ_WAIT_DEFAULT);
    (void)rhz_op_release(op);
    // A failed one failed everywhere: the step goes on without.
    return is_out(status) || status < 300 ? status : RHZ_OK;
  }

  void close() {
    rhz_comm_close(comm_);
    comm_ = nullptr;
    for (Op& op : ops_) (void)rhz_op_release(op.op);
    ops_.clear();
  }

  const Options options_;
  rhz_comm* comm_ = nullptr;
  rhz_view view_{};
  bool at_boundary_ = false;
  std::vector<uint64_t> state_;
  std::deque<Op> ops_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::vector<std::string> leaked_;
};

}  // namespace
}  // namespace rhz::test

int main(int argc, char** argv) {
  rhz::test::Options options;
  CLI::App app("All-reduces without end, for `rhizome chaos`; each is checked, and told in a ledger line.");
  app.add_option("--bytes", options.bytes, "of the largest op")->capture_default_str();
  app.add_option("--state-bytes", options.state_bytes, "that a newcomer gets")->capture_default_str();
  app.add_option("--pace-ms", options.pace_ms, "between two steps")->capture_default_str();
  app.add_option("--leak-mib-per-s", options.leak_mib_per_s, "memory that one peer never gives back")->capture_default_str();
  app.add_option("--leak-slot", options.leak_slot, "which one")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return rhz::test::Peer(options).run();
}
