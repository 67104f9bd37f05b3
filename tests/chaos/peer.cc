// A peer for `rhizome chaos`: collectives without end, several in flight, of kinds, sizes and modes that the number of the step draws, on
// the run's communicator and on parts that it is split into now and then, and messages between two slots.  Each element of a result is
// compared (peer_op.h), and a ledger line (api/tools/chaos_ledger.h) lets the supervisor compare the peers.  It uses rhizome.h alone, as
// a trainer would.
#include <poll.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "rhizome/rhizome.h"
#include "runtime/base/prng.h"
#include "tests/chaos/peer_op.h"

namespace rhz::test {
namespace {

constexpr uint64_t kMostInFlight = 3;
constexpr uint64_t kOpsOfAStep = 8;  // numbers, more than there are ops; those of the last two are no collectives
constexpr uint64_t kLetter = kOpsOfAStep - 2, kState = kOpsOfAStep - 1;
constexpr uint64_t kSplitEvery = 8;  // steps
constexpr uint64_t kColours = 2;     // and without one, as many again
// In the ledger an op of a part is another one on each part, and so are the two sides of a message: they may end differently.
constexpr uint64_t kLedgers = 256, kOfParts = 1, kOfReceivers = 64, kOfSenders = 128;
constexpr uint64_t kVerifyEvery = 16;  // steps
constexpr int kJoinPauseMs = 100, kMostJoins = 600;

struct Options {
  uint64_t bytes = 64 << 10, state_bytes = 64 << 10, pace_ms = 5;
  uint64_t leak_mib_per_s = 0, leak_slot = 0;
};

void pause(uint64_t ms) { (void)poll(nullptr, 0, static_cast<int>(ms)); }
bool is_out(rhz_status status) { return status >= RHZ_ERR_EVICTED; }

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
      if (status == RHZ_ERR_DIVERGED) tell(ledger(kState), "outcome=diverged wrong=1");
      close();
      if (joined == RHZ_OK) tries = 0;
    }
    return 1;
  }

 private:
  struct Told {
    uint64_t number;  // in the ledger
    std::unique_ptr<PeerOp> op;
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
    if (at_boundary_ && !is_whole()) tell(ledger(kState), "outcome=\"another state than the members have\" wrong=1");
    return view_.joined ? RHZ_OK : rhz_state_commit(comm_, 1);
  }

  rhz_status refresh() { return look(comm_, view_); }
  static rhz_status look(rhz_comm* comm, rhz_view& view) {
    view = {};
    view.struct_size = sizeof view;
    return rhz_comm_view(comm, &view);
  }
  uint64_t id(uint64_t i) const { return state_[0] * kOpsOfAStep + i; }
  uint64_t ledger(uint64_t i, uint64_t of = 0) const { return id(i) * kLedgers + of; }

  // Ops, what they make, a revision, a boundary.
  rhz_status step() {
    const uint64_t dice = mix64(state_[0]);
    rhz_status status = at_boundary_ ? RHZ_OK : refresh();
    at_boundary_ = false;
    if (status == RHZ_OK && state_[0] % kSplitEvery == 0) status = split();
    const size_t first = ops_.size();
    if (status == RHZ_OK) status = submit_all(dice);
    uint64_t made = state_[1];
    for (size_t i = first; status == RHZ_OK && i < ops_.size(); ++i) {
      const rhz_status ended = ops_[i].op->finish();
      if (is_out(ended)) status = ended;
      if (ops_[i].number % kLedgers == 0) made = mix64(made) ^ ops_[i].op->made();  // of the others not all ranks know
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

  // What is drawn is alike on all ranks, but that newcomers have no part before the next split.
  rhz_status submit_all(uint64_t dice) {
    const size_t flight = 1 + dice % kMostInFlight;
    const bool together = dice >> 8 & 1, with_letter = dice >> 9 & 1;
    if (together) (void)rhz_group_begin();
    rhz_status status = RHZ_OK;
    for (size_t i = 0; status == RHZ_OK && i < flight; ++i) status = submit_collective(i);
    if (status == RHZ_OK && with_letter) status = submit_letters();
    const rhz_status taken = together ? rhz_group_end() : RHZ_OK;
    return status == RHZ_OK ? taken : status;
  }

  rhz_status submit_collective(uint64_t i) {
    const uint64_t dice = mix64(id(i) + 2);
    const bool in_part = (dice >> 8) % 4 == 0;
    if (in_part && !part_) return RHZ_OK;
    rhz_view view = view_;
    if (const rhz_status status = in_part ? look(part_, view) : RHZ_OK; status != RHZ_OK) return status;
    auto kind = dice & 1 ? PeerOp::kAllReduce : static_cast<PeerOp::Kind>((dice >> 1) % PeerOp::kCollectives);
    if (in_part && PeerOp::has_root(kind)) kind = PeerOp::kAllReduce;  // who is in it is not known here
    return submit(in_part ? part_ : comm_, ledger(i, in_part ? kOfParts + colour_ : 0),
                  std::make_unique<PeerOp>(kind, id(i), Place{view.slot, view.rank, view.world_size}, most_words()));
  }

  // To the slot beside this one, and from it: both sides know that without a word.
  rhz_status submit_letters() {
    const uint32_t other = view_.slot ^ 1;
    const rhz_status status = submit(comm_, ledger(kLetter, kOfSenders + view_.slot),
                                     std::make_unique<PeerOp>(PeerOp::kSend, id(kLetter), view_.slot, other, most_words()));
    if (status != RHZ_OK) return status;
    return submit(comm_, ledger(kLetter, kOfReceivers + view_.slot),
                  std::make_unique<PeerOp>(PeerOp::kRecv, id(kLetter), view_.slot, other, most_words()));
  }

  rhz_status submit(rhz_comm* comm, uint64_t number, std::unique_ptr<PeerOp> op) {
    const rhz_status status = op->submit(comm);
    if (status == RHZ_OK) ops_.push_back({number, std::move(op)});
    return status;
  }
  uint64_t most_words() const { return std::max<uint64_t>(1, options_.bytes / sizeof(uint64_t)); }

  rhz_status split() {
    tell_the_final(ops_.size());
    rhz_comm_close(part_);
    part_ = nullptr;
    const uint64_t drawn = mix64(id(0) * kLedgers + view_.slot) % (2 * kColours);
    colour_ = drawn;
    rhz_split_params params{};
    params.struct_size = sizeof params;
    params.colour = drawn < kColours ? static_cast<int32_t>(drawn) : RHZ_SPLIT_NONE;
    params.key = static_cast<int32_t>(mix64(drawn + view_.slot) % 8);
    const rhz_status status = rhz_comm_split(comm_, &params, &part_);
    return is_out(status) || status < 300 ? status : RHZ_OK;  // a failed one failed everywhere
  }

  // Those before this step's: until now another peer could have got something else.
  void tell_the_final(size_t count) {
    for (; count > 0; --count) {
      const std::string text = ops_.front().op->final_text();
      if (!text.empty()) tell(ops_.front().number, text);
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
  rhz_status join_in(rhz_status (*begin)(rhz_comm*, rhz_op**)) {
    rhz_op* op = nullptr;
    rhz_status status = begin(comm_, &op);
    if (status == RHZ_OK) status = rhz_op_wait(op, 0, RHZ_WAIT_DEFAULT);
    (void)rhz_op_release(op);
    // A failed one failed everywhere: the step goes on without.
    return is_out(status) || status < 300 ? status : RHZ_OK;
  }

  void close() {
    rhz_comm_close(part_);
    rhz_comm_close(comm_);
    comm_ = part_ = nullptr;
    ops_.clear();
  }

  const Options options_;
  rhz_comm *comm_ = nullptr, *part_ = nullptr;
  uint64_t colour_ = 0;  // of the part
  rhz_view view_{};
  bool at_boundary_ = false;
  std::vector<uint64_t> state_;
  std::deque<Told> ops_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::vector<std::string> leaked_;
};

}  // namespace
}  // namespace rhz::test

int main(int argc, char** argv) {
  rhz::test::Options options;
  CLI::App app("Collectives and messages without end, for `rhizome chaos`; each is checked, and told in a ledger line.");
  app.add_option("--bytes", options.bytes, "of the largest op")->capture_default_str();
  app.add_option("--state-bytes", options.state_bytes, "that a newcomer gets")->capture_default_str();
  app.add_option("--pace-ms", options.pace_ms, "between two steps")->capture_default_str();
  app.add_option("--leak-mib-per-s", options.leak_mib_per_s, "memory that one peer never gives back")->capture_default_str();
  app.add_option("--leak-slot", options.leak_slot, "which one")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return rhz::test::Peer(options).run();
}
