// What the tests of the vault share: tensors in memory that outlives its process, and a server on a
// thread.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "recovery/vault/attach.h"
#include "recovery/vault/client.h"
#include "recovery/vault/piece.h"
#include "recovery/vault/server.h"
#include "runtime/digest/digest.h"

namespace rhz::test {

using namespace rhz::recovery;

inline constexpr uint32_t kByte = 2;  // RHZ_DTYPE_U8

inline void fill(std::byte* data, size_t bytes, unsigned seed) {
  uint64_t x = seed * 2654435761u + 1;
  for (size_t i = 0; i < bytes; ++i) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    data[i] = static_cast<std::byte>(x >> 56);
  }
}

// For a vault; the header is the shared one from then on.
inline std::vector<Fd> pieces_of(State& state, SharedMemory& memory, DeviceBlocks& devices) {
  auto keeping = keep_state(state, memory, devices);
  EXPECT_TRUE(keeping) << keeping.status().text();
  state.keep_header(keeping.value().header);
  return std::move(keeping.value().pieces);
}

// Two tensors in a block each, filled from the seed, at a revision, with marked updates.
struct Trainer {
  static constexpr size_t kWeight = 3 * kDigestBlockBytes + 100, kBias = 10;
  explicit Trainer(unsigned seed = 1, uint64_t revision = 7) {
    for (auto [name, bytes] :
         {std::pair<const char*, size_t>{"weight", kWeight}, {"bias", kBias}}) {
      std::byte* const data = memory.allocate(bytes).value();
      fill(data, bytes, seed++);
      EXPECT_TRUE(state.add({name, kByte, bytes, data, bytes}));
    }
    state.header().marked = 1;
    EXPECT_TRUE(state.commit(revision));
  }
  std::vector<Fd> pieces() { return pieces_of(state, memory, devices); }
  // The same names without data.
  static std::vector<Tensor> wanted() {
    return {{"bias", kByte, kBias, nullptr, kBias}, {"weight", kByte, kWeight, nullptr, kWeight}};
  }

  SharedMemory memory;
  DeviceBlocks devices{{}};
  State state;
};

// The test's own name, so that tests may run beside each other.
inline std::string own_name() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  return std::string("rhizome-vault-test-") + std::to_string(getpid()) + "-" + test->name();
}

class Serving {
 public:
  explicit Serving(StoreLimits limits = {}, size_t clients = 64,
                   std::function<Result<Fd>()> start_holder = nullptr)
      : name(own_name()), stop_(eventfd(0, EFD_CLOEXEC)) {
    auto server = VaultServer::open({name, kRun, limits, clients, std::move(start_holder)});
    EXPECT_TRUE(server) << server.status().text();
    thread_ = std::thread(
        [this, held = std::move(server).value()]() mutable { ended = held.run(stop_.get()); });
  }
  ~Serving() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    const uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }
  VaultClient client(Duration patience = std::chrono::seconds(5)) const {
    return VaultClient(name, kRun, patience);
  }

  static constexpr uint64_t kRun = 42;
  const std::string name;
  Status ended;

 private:
  Fd stop_;
  std::thread thread_;
};

inline void expect_status(const Status& status, Code code, const std::string& part) {
  EXPECT_EQ(status.code(), code) << status.text();
  EXPECT_NE(status.text().find(part), std::string::npos)
      << "\"" << part << "\" is not in: " << status.text();
}

}  // namespace rhz::test
