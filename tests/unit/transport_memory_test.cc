// Memory that a caller takes back from a transport, while the far side is another process that may
// stand still at any moment: nothing of what is written there afterwards ever arrives.
#include <signal.h>
#include <sys/wait.h>

#include <cstring>

#include "tests/unit/transport_test_kit.h"

namespace rhz::test {
namespace {

constexpr size_t kSize = size_t{1} << 20;
constexpr int kFramesARound = 3;
constexpr uint64_t kLast = 1'000'000;
constexpr std::byte kReused{0xee};
enum Verdicts : int { kFine = 0, kForeignBytes = 2, kNothingCame = 3, kTooLong = 4 };

struct Way {
  const char* name;
  Carrier carrier;
  bool polls;
  bool looks = false;  // memory that the receiver maps
};
std::ostream& operator<<(std::ostream& out, const Way& way) { return out << way.name; }

// What frames of this op are filled with.
std::byte filling(uint64_t op) { return std::byte(op % 200 + 1); }

bool all_are(ConstBytes bytes, std::byte value) {
  return bytes.empty() ||
         (bytes[0] == value && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

// Receives until the last frame, and looks at every byte.
[[noreturn]] void run_receiver(const Way& way, PeerId self, int report_to,
                               const PeerAddress& sender) {
  Stage stage(way.carrier, way.polls);
  TcpOptions options;
  options.self = self;
  Node& receiver = stage.add(options);
  for (const std::string& endpoint : receiver.address().endpoints)
    if (::write(report_to, (endpoint + "\n").data(), endpoint.size() + 1) < 0) _exit(1);
  ::close(report_to);
  receiver.looks = way.looks;
  receiver.know({sender});
  int verdict = kNothingCame;
  bool over = false;
  receiver.on_received = [&](const Received& frame) {
    const uint64_t op = frame.header.op_seq.value;
    over |= op == kLast;
    if (over) return;
    if (verdict == kNothingCame) verdict = kFine;
    if (!all_are(frame.bytes, filling(op))) verdict = kForeignBytes;
  };
  if (!stage.until([&] { return over; }, milliseconds(60000))) verdict = kTooLong;
  _exit(verdict);
}

class TransportMemory : public testing::TestWithParam<Way> {
 protected:
  void start_receiver(Node& sender) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const PeerId id = random_peer_id();
    child = fork();
    if (child == 0) run_receiver(GetParam(), id, pipe[1], sender.address());
    ::close(pipe[1]);
    std::string text;
    char bytes[512];
    for (ssize_t got; (got = ::read(pipe[0], bytes, sizeof bytes)) > 0;)
      text.append(bytes, static_cast<size_t>(got));
    ::close(pipe[0]);
    receiver = {id, Slot(0), {}};
    for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
      receiver.endpoints.push_back(text.substr(at, end - at));
    sender.know({receiver}, {id});
  }
  // Carries on with what waits until the receiver has ended.
  int verdict() {
    int status = 0;
    const bool ended = stage.until([&] { return ::waitpid(child, &status, WNOHANG) == child; },
                                   milliseconds(70000));
    if (!ended) ::kill(child, SIGKILL), ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // As the tested way has it, filled with 0.
  std::span<std::byte> memory_of(Node& sender) {
    if (GetParam().looks) return {sender.memory.allocate(kSize).value(), kSize};
    ordinary.resize(kSize);
    return ordinary;
  }

  Stage stage{GetParam().carrier, GetParam().polls};
  std::vector<std::byte> ordinary;
  pid_t child = -1;
  PeerAddress receiver;
};

INSTANTIATE_TEST_SUITE_P(Ways, TransportMemory,
                         testing::Values(Way{"tcp", Carrier::kTcp, false},
                                         Way{"shm", Carrier::kShm, false},
                                         Way{"shm_polled", Carrier::kShm, true},
                                         Way{"shm_through_ring", Carrier::kShmThroughRing, true},
                                         Way{"shm_looking", Carrier::kShm, true, true},
                                         Way{"shm_through_ring_looking", Carrier::kShmThroughRing, true, true},
                                         Way{"auto", Carrier::kAuto, true},
                                         Way{"auto_looking", Carrier::kAuto, false, true}),
                         testing::PrintToStringParamName());

// `take_back`: how the caller gets its memory.
void send_rounds(Stage& stage, Node& sender, const PeerAddress& receiver, pid_t child,
                 std::span<std::byte> memory, const std::function<void(OpSeq)>& take_back) {
  Prng prng(11);
  for (uint64_t op = 0; op < 120; ++op) {
    std::fill(memory.begin(), memory.end(), filling(op));
    for (int i = 0; i < kFramesARound; ++i) sender.send(receiver.id, LaneClass::kBulk, op, memory);
    const bool freeze = prng.chance(0.3);
    stage.run_for(microseconds(prng.below(1500)));
    if (freeze) ::kill(child, SIGSTOP);
    take_back(OpSeq(op));
    std::fill(memory.begin(), memory.end(), kReused);
    if (freeze) ::kill(child, SIGCONT);
    stage.run_for(microseconds(prng.below(300)));
  }
  sender.send(receiver.id, LaneClass::kBulk, kLast, {});
}

TEST_P(TransportMemory, MayBeReusedOnceTheTransportIsQuiet) {
  Node& sender = stage.add();
  start_receiver(sender);
  send_rounds(stage, sender, receiver, child, memory_of(sender), [&](OpSeq) {
    ASSERT_TRUE(sender.transport->quiesce());
    sender.transport->resume();
  });
  stage.run_for(milliseconds(200));
  EXPECT_TRUE(sender.down.empty() || sender.down.begin()->second[0] <= Evidence::kRefused);
  EXPECT_EQ(verdict(), kFine);
}

TEST_P(TransportMemory, MayBeReusedOnceItsOpIsReleased) {
  Node& sender = stage.add();
  start_receiver(sender);
  send_rounds(stage, sender, receiver, child, memory_of(sender),
              [&](OpSeq op) { sender.transport->release_op(kRootGroup, op); });
  stage.run_for(milliseconds(200));
  EXPECT_EQ(verdict(), kFine);
}

TEST_P(TransportMemory, OfAStoppedReceiverIsNoReasonToWait) {
  Node& sender = stage.add();
  start_receiver(sender);
  const std::span<std::byte> memory = memory_of(sender);
  std::fill(memory.begin(), memory.end(), filling(1));
  sender.send(receiver.id, LaneClass::kBulk, 1, memory);
  stage.run_for(milliseconds(50));
  ::kill(child, SIGSTOP);
  for (int i = 0; i < 64; ++i) {
    sender.send(receiver.id, LaneClass::kBulk, 1, memory);
    sender.send(receiver.id, LaneClass::kExpress, 1, {memory.data(), 16384});
  }
  stage.run_for(milliseconds(50));
  EXPECT_TRUE(sender.down.empty());  // it lives: whether it is slow is for others to judge
  ASSERT_TRUE(sender.transport->quiesce());
  std::fill(memory.begin(), memory.end(), kReused);
  ::kill(child, SIGCONT);
  sender.transport->resume();
  sender.send(receiver.id, LaneClass::kBulk, kLast, {});
  stage.run_for(milliseconds(200));
  EXPECT_EQ(verdict(), kFine);
}

}  // namespace
}  // namespace rhz::test
