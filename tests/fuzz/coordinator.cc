// A tape of what happens to a coordinator: messages of peers in any order, sense or none, ends of connections, time, and restarts on its
// log.  Whatever comes, what it logs is a log, and its views only go on.
#include <map>
#include <memory>

#include "runtime/membership/coordinator.h"
#include "tests/fuzz/messages.h"

namespace rhz::fuzz {
namespace {

RunConfig config() {
  RunConfig config;
  config.run_id = "fuzz";
  config.world = 3;
  config.max_world = kPeers;
  return config;
}

class Office {
 public:
  Office() { begin(); }

  void step(Tape& tape) {
    const auto n = static_cast<uint32_t>(tape.below(kPeers));
    switch (tape.below(12)) {
      case 0:
        core_->disconnected(now_, session_[n]);
        session_[n] = next_++;
        break;
      case 1: pass(milliseconds(1 + static_cast<int64_t>(tape.below(300)))); break;
      case 2:
        if (tape.below(8) == 0) begin();
        break;
      case 3:
        for (uint32_t p = 0; p < kPeers; ++p) say_hello(p);
        break;
      case 4:  // a round of seals as peers send them
        for (uint32_t p = 0; p < kPeers; ++p) {
          SealedMessage sealed;
          sealed.report.epoch = core_->view().epoch;
          sealed.report.groups.push_back({});
          core_->receive(now_, session_[p], sealed);
        }
        break;
      default: core_->receive(now_, session_[n], message_of_peer(tape, n, core_->view().epoch));
    }
    carry_out();
  }

 private:
  void begin() {
    now_ += milliseconds(1);
    core_ = std::make_unique<Coordinator>(config(), log_, now_);
    for (uint32_t n = 0; n < kPeers; ++n) session_[n] = next_++;
    carry_out();
    RHZ_FUZZ_CHECK(core_->view().epoch == seen_);  // nothing durable is forgotten
  }
  void say_hello(uint32_t n) {
    HelloMessage hello;
    hello.run_id = "fuzz";
    hello.self.id = peer_id(n);
    core_->receive(now_, session_[n], hello);
  }
  void pass(Duration time) {
    for (const Time end = now_ + time; now_ < end; now_ += milliseconds(5)) {
      (void)core_->tick(now_);
      carry_out();
    }
  }
  void carry_out() {
    for (const CoordinatorAction& action : core_->take_actions()) {
      if (const auto* append = std::get_if<AppendAction>(&action)) {
        RHZ_FUZZ_CHECK(log_.empty() || append->entry.index.value == log_.back().index.value + 1);
        RHZ_FUZZ_CHECK(log_.empty() || append->entry.term >= log_.back().term);
        if (const auto* view = std::get_if<ViewRecord>(&append->entry.record)) {
          RHZ_FUZZ_CHECK(view->view.epoch.value == seen_.value + 1);
          seen_ = view->view.epoch;
        }
        log_.push_back(append->entry);
      } else if (const auto* cut = std::get_if<CutAction>(&action)) {
        log_ = {cut->snapshot};
      } else if (const auto* send = std::get_if<CoordinatorSend>(&action)) {
        RHZ_FUZZ_CHECK(send->session < next_);
      }
    }
  }

  Time now_ = std::chrono::seconds(100);
  std::vector<LogEntry> log_;
  Epoch seen_;
  SessionId next_ = 1;
  SessionId session_[kPeers] = {};
  std::unique_ptr<Coordinator> core_;
};

}  // namespace

std::vector<Bytes> seeds() {
  // Hellos, seals, an accusation with time behind it, another round of seals.
  return {bytes_from(std::string_view("\0\3\0\4", 4)),
          bytes_from(std::string_view("\0\3\0\4\0\5\1\0\1\6\0\0\1\377\0\4", 16)),
          bytes_from(std::string_view("\0\3\0\4\1\0\0\1\372\0\4\2\5\2\0\2\1\7", 18))};
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rhz::fuzz::Tape tape(data, size);
  rhz::fuzz::Office office;
  while (!tape.over()) office.step(tape);
  return 0;
}
