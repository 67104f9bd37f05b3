// Peers that lie in shared memory: the connection ends, the process goes on, and so do the good
// links.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "runtime/transport/shm/lane_memory.h"
#include "runtime/transport/shm/sockets.h"
#include "runtime/transport/tcp/handshake.h"
#include "tests/unit/transport_test_kit.h"

namespace rhz::test {
namespace {

using shm::Bulk;
using shm::LaneMemory;
using shm::Word;

constexpr uint32_t kBulkLane = 1;

// Two peers that know each other, and a third one that both know: this test.
class ShmIntruders : public testing::Test {
 protected:
  explicit ShmIntruders(Carrier carrier = Carrier::kShm)
      : stage(carrier), a(stage.add()), b(stage.add()), liar(random_peer_id()) {
    listener = shm::listen_at(shm::endpoint_of(kRun, liar)).value().fd;
    const PeerAddress address{liar, Slot(9), {shm::endpoint_of(kRun, liar)}};
    a.know({b.address(), address});
    b.know({a.address(), address});
  }
  ~ShmIntruders() override {
    for (const int open : fds) ::close(open);
    ::close(listener);
  }

  // As the sender of a lane to b, whose hello is accepted.
  void call() {
    fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fds.push_back(fd);
    const auto address = shm::address_of(b.address().endpoints[0]);
    ASSERT_EQ(::connect(fd, address->get(), address->length), 0);
    const auto hello = tcp::encode_hello({liar, b.id, ++generation, kBulkLane}, kRun);
    ASSERT_EQ(::send(fd, hello.data(), hello.size(), MSG_NOSIGNAL), ssize_t(hello.size()));
    char welcome[wire::kHeaderBytes];
    ASSERT_TRUE(stage.until([&] {
      return ::recv(fd, welcome, sizeof welcome, MSG_DONTWAIT) == ssize_t(sizeof welcome);
    }));
  }
  // … and whose memory is as it should be.
  void call_with_memory() {
    call();
    memory = LaneMemory(SharedRegion::create(LaneMemory::bytes(kBulkLane)).value());
    fill_control();
    ASSERT_TRUE(shm::send_memory(fd, memory.region().fd()));
    ASSERT_TRUE(stage.until([&] { return memory.control().bulk.load() != 0; }));
    ring = shm::RingWriter(memory);
  }
  void fill_control() {
    memory.control().magic = shm::kLaneMagic;
    memory.control().ring_bytes = memory.ring().size();
    memory.control().token = token;
    memory.control().token_address = reinterpret_cast<uint64_t>(&token);
  }
  void put(const wire::FrameHeader& header, ConstBytes rest = {}) {
    wire::HeaderBytes bytes;
    wire::encode_header(header, bytes.data());
    ring.put(bytes.data(), bytes.size());
    ring.put(rest.data(), rest.size());
  }
  void publish() {
    ring.publish();
    shm::say(fd, Word::kWake);
  }
  wire::FrameHeader frame(uint64_t number, uint32_t length) const {
    wire::FrameHeader header;
    header.kind = wire::Kind::kPartial;
    header.run = kRun;
    header.lane_seq = number;
    header.length = length;
    return header;
  }
  bool ended() const {
    char bytes[64];
    ssize_t got = 0;
    while ((got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) continue;
    return got == 0 || errno == ECONNRESET;
  }
  void expect_ended() {
    ASSERT_TRUE(stage.until([&] { return ended(); }));
    EXPECT_TRUE(b.received.empty());
    good_links_work();
  }
  void good_links_work() {
    const size_t before = b.received.size();
    const auto bytes = random_bytes(100000, before);
    a.send(b.id, LaneClass::kExpress, 1, {});
    a.send(b.id, LaneClass::kBulk, 2, bytes);
    ASSERT_TRUE(stage.until([&] { return b.received.size() == before + 2; }));
  }

  Stage stage;
  Node& a;
  Node& b;
  const PeerId liar;
  int listener = -1, fd = -1;
  std::vector<int> fds;
  uint64_t generation = 1;
  uint64_t token = 0x1234;
  LaneMemory memory;
  shm::RingWriter ring;
};

TEST_F(ShmIntruders, MustSealTheirMemory) {
  call();
  const int open = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  fds.push_back(open);
  ASSERT_EQ(::ftruncate(open, LaneMemory::bytes(kBulkLane)), 0);
  ASSERT_TRUE(shm::send_memory(fd, open));
  expect_ended();
}

TEST_F(ShmIntruders, MustSendAsMuchAsWasAgreed) {
  for (const size_t size :
       {size_t{4096}, LaneMemory::bytes(kBulkLane) - 4096, LaneMemory::bytes(kBulkLane) + 4096}) {
    call();
    const auto region = SharedRegion::create(size);
    ASSERT_TRUE(shm::send_memory(fd, region.value().fd()));
    ASSERT_TRUE(stage.until([&] { return ended(); }));
  }
  expect_ended();
}

TEST_F(ShmIntruders, MustSendMemory) {
  call();
  const int open = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  fds.push_back(open);
  ASSERT_TRUE(shm::send_memory(fd, open));
  expect_ended();
}

TEST_F(ShmIntruders, MustSayWhatTheMemoryIs) {
  call();
  const auto region = SharedRegion::create(LaneMemory::bytes(kBulkLane));
  ASSERT_TRUE(shm::send_memory(fd, region.value().fd()));
  expect_ended();
}

TEST_F(ShmIntruders, SendTheLanesMemoryOnce) {
  call_with_memory();
  ASSERT_TRUE(shm::send_memory(fd, memory.region().fd()));
  expect_ended();
}

TEST_F(ShmIntruders, SayNothingButTheWords) {
  for (const char* said : {"G", "x", "WWWx"}) {
    call_with_memory();
    ASSERT_GT(::send(fd, said, strlen(said), MSG_NOSIGNAL), 0);
    ASSERT_TRUE(stage.until([&] { return ended(); }));
  }
  expect_ended();
}

TEST_F(ShmIntruders, CannotHaveWrittenMoreThanTheRingHolds) {
  for (const uint64_t written :
       {uint64_t{shm::kBulkRingBytes} + 1, uint64_t{1} << 63, ~uint64_t{0}}) {
    call_with_memory();
    memory.control().written.store(written);
    shm::say(fd, Word::kWake);
    ASSERT_TRUE(stage.until([&] { return ended(); }));
  }
  expect_ended();
}

TEST_F(ShmIntruders, CannotPutGarbageIntoTheRing) {
  call_with_memory();
  const auto garbage = random_bytes(500000, 1);
  ring.put(garbage.data(), garbage.size());
  publish();
  expect_ended();
}

TEST_F(ShmIntruders, CannotSkipNumbersOrSpeakForAnotherRun) {
  for (const int what : {0, 1, 2}) {
    call_with_memory();
    wire::FrameHeader header = frame(what == 0 ? 2 : 1, 0);
    if (what == 1) header.run = kRun + 1;
    if (what == 2) header.kind = wire::Kind::kControl;
    put(header);
    publish();
    ASSERT_TRUE(stage.until([&] { return ended(); }));
  }
  EXPECT_GE(b.transport->counters().refused_frames, 3u);
  expect_ended();
}

TEST_F(ShmIntruders, CannotNameAddressesThatAreNotThere) {
  call_with_memory();
  ASSERT_EQ(memory.control().bulk.load(), static_cast<uint32_t>(Bulk::kDirect));
  const shm::Descriptor nowhere{0x1000, 0};
  put(frame(1, 1 << 20), {reinterpret_cast<const std::byte*>(&nowhere), sizeof nowhere});
  memory.word(1).store(1);
  publish();
  expect_ended();
}

TEST_F(ShmIntruders, AreReadInTheirOwnMemoryOnly) {
  token = 1;
  call();
  memory = LaneMemory(SharedRegion::create(LaneMemory::bytes(kBulkLane)).value());
  fill_control();
  memory.control().token = 2;  // another process than the one that called
  ASSERT_TRUE(shm::send_memory(fd, memory.region().fd()));
  ASSERT_TRUE(stage.until([&] { return memory.control().bulk.load() != 0; }));
  EXPECT_EQ(memory.control().bulk.load(), static_cast<uint32_t>(Bulk::kThroughRing));
}

// Their receivers read no other process.
class ShmIntrudersOfTheRing : public ShmIntruders {
 protected:
  ShmIntrudersOfTheRing() : ShmIntruders(Carrier::kShmThroughRing) {}
};

TEST_F(ShmIntrudersOfTheRing, CannotHaveTheirMemoryRead) {
  call_with_memory();
  ASSERT_EQ(memory.control().bulk.load(), static_cast<uint32_t>(Bulk::kThroughRing));
  const auto bytes = random_bytes(1 << 20, 1);
  const shm::Descriptor where{reinterpret_cast<uint64_t>(bytes.data()), shm::Descriptor::kNoBlock};
  put(frame(1, 1 << 20), {reinterpret_cast<const std::byte*>(&where), sizeof where});
  memory.word(1).store(1);
  publish();
  expect_ended();
}

TEST_F(ShmIntruders, FramesThatWereTakenBackAreVoid) {
  call_with_memory();
  const auto bytes = random_bytes(1 << 20, 1);
  const shm::Descriptor where{reinterpret_cast<uint64_t>(bytes.data()), 0};
  const ConstBytes descriptor{reinterpret_cast<const std::byte*>(&where), sizeof where};
  for (uint64_t number = 1; number <= 3; ++number) put(frame(number, 1 << 20), descriptor);
  memory.word(1).store(1);
  memory.word(3).store(3);
  publish();
  ASSERT_TRUE(stage.until([&] { return memory.control().consumed.load() == 3; }));
  ASSERT_EQ(b.received.size(), 2u);
  EXPECT_EQ(b.received[1].header.lane_seq, 3u);
  EXPECT_TRUE(equal(b.received[1].bytes, bytes));
}

// As the receiver of a's express lane.
TEST_F(ShmIntruders, CannotHaveConsumedWhatWasNotSent) {
  int answered = 0;
  for (int round = 0; round < 3; ++round) {
    int lane = -1;
    ASSERT_TRUE(stage.until([&] {
      lane = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      return lane >= 0;
    }));
    fds.push_back(lane);
    char hello[tcp::kHelloFrameBytes];
    if (!stage.until([&] { return ::recv(lane, hello, sizeof hello, MSG_DONTWAIT) > 0; })) continue;
    if (tcp::decode_hello(reinterpret_cast<std::byte*>(hello) + wire::kHeaderBytes).sender != a.id)
      continue;
    const std::string welcome = tcp::encode_welcome(0, kRun);
    ASSERT_GT(::send(lane, welcome.data(), welcome.size(), MSG_NOSIGNAL), 0);
    int memory_fd = -1;
    const auto take = [&](int descriptor) {
      memory_fd = descriptor;
      return true;
    };
    ASSERT_TRUE(stage.until([&] {
      (void)shm::listen_to(lane, take);
      return memory_fd >= 0;
    }));
    LaneMemory theirs(SharedRegion::map(memory_fd, LaneMemory::bytes(0)).value());
    if (answered++ == 0)
      theirs.control().consumed.store(77);
    else
      theirs.control().taken.store(~uint64_t{0} / 2);
    a.send(liar, LaneClass::kExpress, 1, {});
    shm::say(lane, Word::kWake);
    ASSERT_TRUE(stage.until([&] { return shm::listen_to(lane, take).ended; }));
    EXPECT_GE(a.transport->counters().refused_frames, uint64_t(answered));
  }
  EXPECT_GE(answered, 1);
  good_links_work();
}

}  // namespace
}  // namespace rhz::test
