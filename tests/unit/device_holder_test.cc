// State in memory that a program allocated on a device by itself: held beyond its process, and
// copied into that of the next one.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "recovery/state/device_tensors.h"
#include "recovery/vault/device_holder.h"
#include "recovery/vault/device_pieces.h"
#include "recovery/vault/socket.h"
#include "tests/unit/test_state_memory.h"
#include "tests/unit/vault_kit.h"

namespace rhz::test {
namespace {

// What another thread brings about.
bool eventually(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

// Those that a vault started, each on a thread with its own memory.
class Holders {
 public:
  ~Holders() {
    for (std::thread& thread : threads_) thread.join();
  }
  Result<Fd> start() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) abort();
    ++started;
    last = ends[0];
    threads_.emplace_back([this, vault = ends[1]] {
      DeviceHolder holder(memory, Fd(vault));
      EXPECT_TRUE(holder.run());
    });
    return Fd(ends[0]);
  }
  TestPlainMemory memory;
  std::atomic<int> started = 0;
  std::atomic<int> last = -1;

 private:
  std::vector<std::thread> threads_;
};

class PlainTrainer {
 public:
  static constexpr size_t kBytes = 3 * kDigestBlockBytes + 100, kAt = 64;
  explicit PlainTrainer(unsigned seed = 1, uint64_t revision = 7) {
    weight = device->plain_memory.allocate(kAt + kBytes, TestPlainMemory::kDevice).value() + kAt;
    fill(weight, kBytes, seed);
    std::byte* const bias = memory.allocate(10).value();
    fill(bias, 10, seed + 1);
    EXPECT_TRUE(state.add({"weight", kByte, kBytes, weight, kBytes, true, device.get()}));
    EXPECT_TRUE(state.add({"bias", kByte, 10, bias, 10}));
    state.header().marked = 1;
    EXPECT_TRUE(state.commit(revision));
    state.header().note_root(root_of(state.all_tensors()).value());
  }
  Status keep(Vault& vault) {
    const auto held = hold_plain_blocks(state.all_tensors(), devices, vault);
    if (!held) return held.status();
    auto keeping = keep_state(state, memory, devices, held.value());
    if (!keeping) return keeping.status();
    state.keep_header(keeping.value().header);
    return vault.keep(Slot(0), std::move(keeping.value().pieces));
  }

  std::shared_ptr<TestStateMemory> device = std::make_shared<TestStateMemory>();
  DeviceBlocks devices{{device, Status::ok()}};
  SharedMemory memory;
  State state;
  std::byte* weight = nullptr;
};

// What takes the state up.
class NextTrainer {
 public:
  Status attach(Vault& vault) {
    auto pieces = vault.attach(Slot(0));
    if (!pieces) return pieces.status();
    auto opened = open_kept(std::move(pieces).value());
    if (!opened) return opened.status();
    kept = std::move(opened).value();
    if (Status mapped = map_devices(kept, devices); !mapped) return mapped;
    if (Status mapped = map_kept(kept, memory, device.get(), tensors); !mapped) return mapped;
    return check_root(*kept.header, tensors);
  }

  std::shared_ptr<TestStateMemory> device = std::make_shared<TestStateMemory>();
  DeviceBlocks devices{{device, Status::ok()}};
  SharedMemory memory;
  KeptState kept;
  std::vector<Tensor> tensors = {
      {"bias", kByte, 10, nullptr, 10},
      {"weight", kByte, PlainTrainer::kBytes, nullptr, PlainTrainer::kBytes}};
};

class PlainState : public testing::Test {
 protected:
  Holders holders_;
  Serving serving_{{}, 64, [this] { return holders_.start(); }};
  Holders& holders() { return holders_; }
};

TEST_F(PlainState, IsCopiedToTheNextTrainer) {
  {
    PlainTrainer trainer;
    VaultClient vault = serving_.client();
    ASSERT_TRUE(trainer.keep(vault));
    EXPECT_EQ(holders_.memory.opened(), 1u);
  }
  NextTrainer next;
  VaultClient vault = serving_.client();
  const Status attached = next.attach(vault);
  ASSERT_TRUE(attached) << attached.text();
  EXPECT_EQ(next.device->plain_memory.allocated(), 1u);
  EXPECT_EQ(holders_.memory.opened(), 1u) << "it is the vault's until the next state is kept";
  EXPECT_EQ(holders_.started, 1);
}

TEST_F(PlainState, CanBeKeptOnceMoreWhereItWasCopiedTo) {
  VaultClient first = serving_.client();
  {
    PlainTrainer trainer;
    ASSERT_TRUE(trainer.keep(first));
  }
  NextTrainer next;
  ASSERT_TRUE(next.attach(first));
  const auto held = hold_plain_blocks(next.tensors, next.devices, first);
  ASSERT_TRUE(held) << held.status().text();
  ASSERT_EQ(held.value().size(), 1u);
  EXPECT_EQ(holders_.memory.opened(), 2u);
}

TEST_F(PlainState, IsLetGoWithItsLastDescriptor) {
  PlainTrainer trainer;
  VaultClient vault = serving_.client();
  ASSERT_TRUE(trainer.keep(vault));
  ASSERT_TRUE(vault.drop(Slot(0)));
  EXPECT_TRUE(eventually([&] { return holders_.memory.opened() == 0; }));
}

TEST_F(PlainState, TensorsOfOneAllocationAreHeldOnce) {
  PlainTrainer trainer;
  ASSERT_TRUE(trainer.state.add(
      {"half", kByte, 100, trainer.weight + 1000, 100, true, trainer.device.get()}));
  VaultClient vault = serving_.client();
  const auto held = hold_plain_blocks(trainer.state.all_tensors(), trainer.devices, vault);
  ASSERT_TRUE(held) << held.status().text();
  EXPECT_EQ(held.value().size(), 1u);
  EXPECT_EQ(held.value()[0].bytes, PlainTrainer::kAt + PlainTrainer::kBytes);
}

TEST_F(PlainState, MemoryOfAnotherKindIsRefusedByName) {
  PlainTrainer trainer;
  std::byte elsewhere[64];
  ASSERT_TRUE(trainer.state.add({"moment", kByte, 64, elsewhere, 64, true, trainer.device.get()}));
  VaultClient vault = serving_.client();
  expect_status(trainer.keep(vault), Code::kArgument,
                "\"moment\" lies in memory of a device that cannot be kept: memory of a pool");
}

TEST_F(PlainState, NeedsRoomForACopy) {
  VaultClient vault = serving_.client();
  {
    PlainTrainer trainer;
    ASSERT_TRUE(trainer.keep(vault));
  }
  NextTrainer next;
  next.device->plain_memory.full = true;
  expect_status(next.attach(vault), Code::kMemory, "out of memory");
  next.device->plain_memory.full = false;
  EXPECT_TRUE(next.attach(vault)) << "nothing was lost";
}

TEST_F(PlainState, IsLostWithWhoHeldItAndTheNextOneIsHeldAnew) {
  VaultClient vault = serving_.client();
  {
    PlainTrainer trainer;
    ASSERT_TRUE(trainer.keep(vault));
  }
  const uint64_t before = vault.incarnation();
  ::shutdown(holders_.last, SHUT_RDWR);  // as if its process had ended
  EXPECT_TRUE(eventually([&] { return holders_.memory.opened() == 0; }));
  NextTrainer next;
  VaultClient another = serving_.client();
  expect_status(next.attach(another), Code::kStateLost, "that held its memory on the device is gone");
  EXPECT_EQ(next.device->plain_memory.allocated(), 0u);
  PlainTrainer trainer;
  EXPECT_FALSE(trainer.keep(vault)) << "the trainer that lives hears of it";
  EXPECT_TRUE(trainer.keep(vault));
  EXPECT_GT(vault.incarnation(), before);
  EXPECT_EQ(holders_.started, 2);
}

TEST_F(PlainState, OnADeviceThatFailsIsHeldByAnother) {
  VaultClient vault = serving_.client();
  {
    PlainTrainer trainer;
    ASSERT_TRUE(trainer.keep(vault));
  }
  holders_.memory.broken = true;
  NextTrainer next;
  expect_status(next.attach(vault), Code::kIo, "the device is broken");
  EXPECT_TRUE(eventually([&] { return holders_.memory.opened() == 0; }));
  holders_.memory.broken = false;
  PlainTrainer trainer;
  VaultClient another = serving_.client();
  EXPECT_TRUE(trainer.keep(another));
  EXPECT_EQ(holders_.started, 2);
}

// The next trainer works on a copy, of what lay in the host as well: whatever it does before its own state is kept,
// what is kept is still the old one.
TEST_F(PlainState, StaysWhatItWasUntilTheNextOneIsKept) {
  {
    PlainTrainer trainer;
    VaultClient vault = serving_.client();
    ASSERT_TRUE(trainer.keep(vault));
  }
  for (int i = 0; i < 2; ++i) {
    NextTrainer next;
    VaultClient vault = serving_.client();
    const Status attached = next.attach(vault);
    ASSERT_TRUE(attached) << attached.text();
    EXPECT_TRUE(next.kept.copied);
    EXPECT_EQ(next.kept.header->revision.load(), 7u);
    next.tensors[0].data[0] ^= std::byte{1};
    next.tensors[1].data[0] ^= std::byte{1};
  }
}

// As one that was killed before it read its answer leaves it.
TEST_F(PlainState, AnAnswerToSomebodyElseIsNotTaken) {
  VaultClient vault = serving_.client();
  auto trainer = std::make_unique<PlainTrainer>();
  auto held = hold_plain_blocks(trainer->state.all_tensors(), trainer->devices, vault);
  ASSERT_TRUE(held) << held.status().text();
  const DeviceBlock& block = held.value()[0];
  HolderMessage message;
  message.kind = HolderKind::kFill;  // which is refused
  ASSERT_TRUE(send_packet(block.fd, message.encode()));
  NextTrainer next;
  const auto copy = copy_held(block.fd, block.bytes, block.device, next.devices);
  ASSERT_TRUE(copy) << copy.status().text();
  EXPECT_EQ(std::memcmp(next.device->real(copy.value()), block.begin, block.bytes), 0);
}

TEST_F(PlainState, ThatIsNotWholeIsLetGoWithItsTrainer) {
  {
    PlainTrainer trainer;
    VaultClient vault = serving_.client();
    ASSERT_TRUE(trainer.keep(vault));
    trainer.state.header().begin_update();
  }
  EXPECT_TRUE(eventually([&] { return holders_.memory.opened() == 0; }));
  NextTrainer next;
  VaultClient vault = serving_.client();
  expect_status(next.attach(vault), Code::kStateLost, "died inside an update of revision 7");
  expect_status(next.attach(vault), Code::kStateLost, "nothing is kept");
}

TEST(PlainStateOfAVault, ThatHoldsNoDevicesIsNotKept) {
  Serving serving;
  PlainTrainer trainer;
  VaultClient vault = serving.client();
  expect_status(trainer.keep(vault), Code::kState, "does not hold memory of devices");
}

class HolderSays : public testing::Test {
 protected:
  HolderSays() {
    thread_ = std::thread([this, vault = pair(vault_)]() mutable {
      EXPECT_TRUE(DeviceHolder(memory_, std::move(vault)).run());
    });
    HolderMessage message;
    message.kind = HolderKind::kPiece;
    Fd other = pair(piece_);
    EXPECT_TRUE(send_packet(vault_, message.encode(), {&other, 1}));
  }
  ~HolderSays() override {
    vault_ = Fd();
    thread_.join();
  }
  static Fd pair(Fd& own) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    own = Fd(ends[0]);
    return Fd(ends[1]);
  }
  Status say(ConstBytes bytes) {
    EXPECT_TRUE(send_packet(piece_, bytes));
    auto packet = receive_packet(piece_);
    if (!packet) return packet.status();
    const auto answer = HolderMessage::decode(packet.value().bytes);
    return answer ? Status(answer.value().status, answer.value().text) : answer.status();
  }
  HolderMessage about(const PlainBlock& block, HolderKind kind) {
    HolderMessage message;
    message.kind = kind;
    message.bytes = block.bytes;
    message.allocation = block.shared;
    return message;
  }

  TestPlainMemory memory_, programs_;
  Fd vault_, piece_;
  std::thread thread_;
};

TEST_F(HolderSays, WhatIsWrong) {
  auto block = programs_.share(programs_.allocate(100, TestPlainMemory::kDevice).value()).value();
  expect_status(say(about(block, HolderKind::kFill).encode()), Code::kArgument, "holds no memory");
  auto gone = block;
  gone.shared.name[0] = ~gone.shared.name[0];
  expect_status(say(about(gone, HolderKind::kHold).encode()), Code::kIo, "invalid handle");
  auto too_much = block;
  too_much.bytes = 101;
  expect_status(say(about(too_much, HolderKind::kHold).encode()), Code::kArgument, "has fewer bytes");
  EXPECT_EQ(memory_.opened(), 0u);
  EXPECT_TRUE(say(about(block, HolderKind::kHold).encode()));
  expect_status(say(about(block, HolderKind::kHold).encode()), Code::kArgument, "holds memory already");
  auto other = block;
  other.bytes = 1000;
  expect_status(say(about(other, HolderKind::kFill).encode()), Code::kArgument, "of another size");
  other.bytes = 50;
  expect_status(say(about(other, HolderKind::kFill).encode()), Code::kArgument, "of another size");
  expect_status(say(about(block, HolderKind::kPiece).encode()), Code::kArgument,
                "a trainer does not say this");
  auto bytes = about(block, HolderKind::kFill).encode();
  bytes[4] = std::byte{9};
  expect_status(say(bytes), Code::kVersion, "of version 1, the other side's of version 9");
  bytes[0] = std::byte{9};
  expect_status(say(bytes), Code::kArgument, "the magic is wrong");
  expect_status(say(ConstBytes(bytes).first(20)), Code::kArgument, "too short");
  EXPECT_TRUE(say(about(block, HolderKind::kFill).encode())) << "and it goes on";
}

TEST(HolderMessages, SurviveRandomBytes) {
  HolderMessage message;
  message.kind = HolderKind::kHold;
  message.text = "why not";
  const std::vector<std::byte> good = message.encode();
  ASSERT_TRUE(HolderMessage::decode(good));
  for (unsigned seed = 0; seed < 20000; ++seed) {
    std::vector<std::byte> bytes = good, noise(4);
    fill(noise.data(), noise.size(), seed);
    for (std::byte b : noise)
      bytes[(seed * 31 + static_cast<unsigned>(b)) % bytes.size()] = b;
    bytes.resize(bytes.size() - seed % 3);
    const auto decoded = HolderMessage::decode(bytes);
    if (decoded) {
      EXPECT_LE(decoded.value().text.size(), 7u);
    }
  }
}

}  // namespace
}  // namespace rhz::test
