// A vault behind its socket: two trainers at once, strangers, and what it says when it is full or
// gone.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <random>

#include "recovery/vault/snapshot.h"
#include "tests/unit/vault_kit.h"

namespace rhz::test {
namespace {

constexpr Duration kShort = milliseconds(200);

Status take(Vault& vault, Slot slot, Trainer& trainer, uint64_t revision) {
  SnapshotCopy copy(trainer.state.tensors(), revision, 0, 1);
  auto buffer = vault.begin(slot, copy.info());
  if (!buffer) return buffer.status();
  if (auto done = copy.step(buffer.value(), UINT64_MAX); !done) return done.status();
  return vault.seal(slot, revision);
}

Status give_back(Vault& vault, Slot slot, Trainer& into) {
  auto found = vault.read(slot, 0);
  if (!found) return found.status();
  auto table = read_table(found.value());
  return table ? restore(found.value(), table.value(), into.state.tensors(), false)
               : table.status();
}

TEST(VaultServer, ServesTwoTrainersAtOnce) {
  Serving vault;
  auto work = [&](Slot slot) {
    auto client = vault.client();
    Trainer trainer(10 * slot.value + 1), empty(99);
    EXPECT_TRUE(client.keep(slot, trainer.pieces()));
    for (uint64_t revision = 1; revision <= 50; ++revision)
      EXPECT_TRUE(take(client, slot, trainer, revision));
    EXPECT_TRUE(give_back(client, slot, empty));
    EXPECT_EQ(empty.state.root(), trainer.state.root());
  };
  std::thread other([&] { work(Slot(1)); });
  work(Slot(0));
  other.join();
  auto list = vault.client().list();
  ASSERT_TRUE(list);
  ASSERT_EQ(list.value().size(), 2u);
  for (const Holding& holding : list.value()) {
    EXPECT_FALSE(holding.alive);
    EXPECT_EQ(holding.snapshots.at(0).revision, 50u);
    EXPECT_EQ(holding.snapshots.at(1).revision, 49u);
  }
}

TEST(VaultServer, HandsAStateOfManyPiecesOver) {
  Serving vault;
  SharedMemory memory;
  State state;
  std::vector<Tensor> wanted;
  for (int i = 0; i < 600; ++i) {
    char name[16];
    std::snprintf(name, sizeof name, "t%03d", i);
    std::byte* const data = memory.allocate(8).value();
    fill(data, 8, static_cast<unsigned>(i));
    ASSERT_TRUE(state.add({name, kByte, 8, data, 8}));
    wanted.push_back({name, kByte, 8, nullptr, 8});
  }
  {
    auto first = vault.client();
    auto keeping = keep_state(state, memory, DeviceBlocks({}));
    ASSERT_TRUE(keeping);
    ASSERT_TRUE(first.keep(Slot(0), std::move(keeping.value().pieces)));
  }
  auto second = vault.client();
  auto pieces = second.attach(Slot(0));
  ASSERT_TRUE(pieces) << pieces.status().text();
  auto kept = open_kept(std::move(pieces).value());
  ASSERT_TRUE(kept) << kept.status().text();
  SharedMemory again;
  ASSERT_TRUE(map_kept(kept.value(), again, nullptr, wanted));
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_EQ(std::memcmp(wanted[i].data, state.tensors()[i].data, 8), 0) << i;
}

TEST(VaultServer, RefusesAStateWhoseTrainerLives) {
  Serving vault;
  Trainer trainer;
  auto first = vault.client(), second = vault.client(kShort);
  ASSERT_TRUE(first.keep(Slot(0), trainer.pieces()));
  expect_status(second.attach(Slot(0)).status(), Code::kState, "still lives");
}

TEST(VaultServer, KnowsThatAKilledTrainerIsGoneThoughAChildHasItsSocket) {
  Serving vault;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    Trainer trainer;
    auto client = vault.client();
    const bool kept = client.keep(Slot(0), trainer.pieces()).is_ok();
    const pid_t child = fork();
    if (child == 0) {
      close(ready[1]);
      for (;;) pause();
    }
    (void)!::write(ready[1], kept ? &child : nullptr, sizeof child);
    for (;;) pause();
  }
  close(ready[1]);
  pid_t child = 0;
  ASSERT_EQ(::read(ready[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  kill(pid, SIGKILL);
  auto client = vault.client();
  EXPECT_TRUE(client.attach(Slot(0))) << client.attach(Slot(0)).status().text();
  kill(child, SIGKILL);
  waitpid(pid, nullptr, 0);
  close(ready[0]);
}

TEST(VaultServer, SaysWhenItsMemoryIsFull) {
  Serving vault({.snapshot_bytes = Trainer::kWeight + 4096});
  Trainer trainer, other;
  auto client = vault.client(), second = vault.client();
  ASSERT_TRUE(take(client, Slot(0), trainer, 1));
  expect_status(take(second, Slot(1), other, 1), Code::kMemory, "--memory");
  ASSERT_TRUE(give_back(client, Slot(0), other)) << "what is held stays";
}

// The system's own refusal, as for a full /dev/shm or a limit of a container.
TEST(VaultServer, SaysWhenTheSystemHasNoMemory) {
  Serving vault;
  Trainer trainer;
  auto client = vault.client();
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{}, small{};
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &small);
  const Status refused = take(client, Slot(0), trainer, 1);
  setrlimit(RLIMIT_FSIZE, &before);
  expect_status(refused, Code::kMemory, "no shared memory of");
  EXPECT_TRUE(take(client, Slot(0), trainer, 2)) << "and goes on when there is some";
}

TEST(VaultServer, IsMissedClearlyAndFoundAgain) {
  Trainer trainer;
  auto vault = std::make_unique<Serving>();
  auto client = vault->client(kShort);
  ASSERT_TRUE(take(client, Slot(0), trainer, 1));
  EXPECT_EQ(client.incarnation(), 1u);
  vault.reset();
  expect_status(take(client, Slot(0), trainer, 2), Code::kUnreachable, "is gone");
  expect_status(take(client, Slot(0), trainer, 2), Code::kUnreachable, "no vault answers at");
  vault = std::make_unique<Serving>();
  EXPECT_TRUE(take(client, Slot(0), trainer, 2));
  EXPECT_EQ(client.incarnation(), 2u);
}

TEST(VaultServer, ThatDoesNotAnswerIsATimeOut) {
  const auto listening = listen_as_vault(own_name());
  ASSERT_TRUE(listening);
  VaultClient client(own_name(), 1, milliseconds(50));
  expect_status(client.list().status(), Code::kTimeout, "does not answer within 50 ms");
}

TEST(VaultServer, IsTheOnlyOneOfItsName) {
  Serving vault;
  auto second = VaultServer::open({vault.name, 1, {}, 1, nullptr});
  expect_status(second.status(), Code::kAddressInUse, "has a vault on this host already");
}

TEST(VaultServer, ServesItsOwnRunOnly) {
  Serving vault;
  VaultClient stranger(vault.name, Serving::kRun + 1, kShort);
  expect_status(stranger.list().status(), Code::kRunId, "another run");
}

// What a connection gets for these bytes and descriptors; nothing: it is closed without a word.
std::optional<VaultMessage> ask(const Fd& socket, ConstBytes bytes, std::span<const Fd> fds = {}) {
  if (!send_packet(socket, bytes, fds)) return std::nullopt;
  auto packet = receive_packet(socket);
  if (!packet) return std::nullopt;
  auto message = VaultMessage::decode(packet.value().bytes);
  return message ? std::optional(message.value()) : std::nullopt;
}

struct Hostile : testing::Test {
  Fd connect() { return connect_to_vault(vault.name, std::chrono::seconds(5)).value(); }
  static std::vector<std::byte> message(VaultKind kind, uint32_t pieces = 0) {
    VaultMessage message;
    message.kind = kind;
    message.run = Serving::kRun;
    message.pieces = pieces;
    return message.encode();
  }
  std::vector<Fd> fds(int count) {
    std::vector<Fd> all;
    for (int i = 0; i < count; ++i) all.emplace_back(eventfd(0, EFD_CLOEXEC));
    return all;
  }
  // It serves on, and holds nothing of a stranger's.
  void TearDown() override {
    auto list = vault.client().list();
    ASSERT_TRUE(list) << list.status().text();
    EXPECT_TRUE(list.value().empty());
  }
  Serving vault;
};

TEST_F(Hostile, NoMessageEndsTheConnection) {
  const Fd socket = connect();
  const std::vector<std::byte> rubbish(100, std::byte{0x55});
  const auto answer = ask(socket, rubbish);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, Code::kArgument);
  EXPECT_FALSE(ask(socket, message(VaultKind::kList)));
  EXPECT_FALSE(ask(connect(), std::vector<std::byte>(100'000)));
}

TEST_F(Hostile, DescriptorsWhereNoneBelong) {
  const Fd socket = connect();
  EXPECT_EQ(ask(socket, message(VaultKind::kList), fds(200))->status, Code::kArgument);
  EXPECT_EQ(ask(socket, message(VaultKind::kBuffer))->status, Code::kArgument);
  EXPECT_EQ(ask(socket, message(VaultKind::kBuffer), fds(1))->status, Code::kArgument);
  EXPECT_EQ(ask(socket, message(VaultKind::kMore), fds(1))->status, Code::kArgument);
  EXPECT_EQ(ask(socket, message(VaultKind::kDone))->status, Code::kArgument);
}

TEST_F(Hostile, StatesWithOtherPiecesThanWasSaid) {
  const Fd socket = connect();
  EXPECT_EQ(ask(socket, message(VaultKind::kKeep, 3))->status, Code::kArgument) << "none at all";
  EXPECT_EQ(ask(socket, message(VaultKind::kKeep, 3), fds(4))->status, Code::kArgument);
  EXPECT_EQ(ask(socket, message(VaultKind::kKeep, 3), fds(3))->status, Code::kArgument)
      << "no memory";
  ASSERT_TRUE(send_packet(socket, message(VaultKind::kKeep, 3), fds(2)));
  EXPECT_EQ(ask(socket, message(VaultKind::kList))->status, Code::kArgument)
      << "something in between";
  ASSERT_TRUE(send_packet(socket, message(VaultKind::kKeep, 3), fds(2)));  // and then it goes
}

TEST_F(Hostile, RandomMessages) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    const Fd socket = connect();
    auto bytes =
        message(static_cast<VaultKind>(1 + random() % 8), static_cast<uint32_t>(random() % 5));
    for (uint64_t flips = random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    // Not kBegin, which may hold what it asks for: VaultStore.RefusesSnapshotsThatCannotBe.
    if (bytes[6] == std::byte{4}) continue;
    (void)send_packet(socket, bytes, fds(static_cast<int>(random() % 4)));
  }
}

TEST_F(Hostile, WhoAsksAndNeverReadsIsDropped) {
  const Fd socket = connect();
  for (int i = 0; i < 20000; ++i)
    if (!send_packet(socket, message(VaultKind::kRead))) return;
  FAIL() << "20000 answers wait for somebody who does not read them";
}

}  // namespace
}  // namespace rhz::test
