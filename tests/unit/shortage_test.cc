// Memory that runs out on a thread that runs a peer's loop, at one allocation after the other: the peer's calls end with
// RHZ_ERR_MEMORY, its ops too, and the others go on without it.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include "api/src/coordinator_config.h"
#include "api/src/coordinator_driver.h"
#include "api/src/peer_driver.h"
#include "runtime/base/out_of_memory.h"

namespace {
// How many allocations this thread still gets, and whether they are counted.
thread_local long left = 0;
thread_local bool counted = false;

void* get(std::size_t bytes) {
  if (counted && left-- <= 0) return nullptr;
  return std::malloc(bytes ? bytes : 1);
}
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (void* memory = get(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return get(bytes); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace rhz::test {
namespace {

constexpr std::chrono::seconds kPatience{30};
constexpr uint64_t kCount = 50'000;
constexpr uint32_t kRanks = 3, kVictim = 0, kLeaver = 2;

class Counting {
 public:
  explicit Counting(long allocations) { left = allocations, counted = true; }
  ~Counting() { counted = false; }
};

struct Completion final : OpenOp {
  void when_released(const OpOutcome& outcome) override {
    status = outcome.status;
    // The loop's owner, whichever thread that is, gets so many from here on.
    if (then >= 0) left = then, counted = true;
    done = true;
  }
  void when_final(const Status&) override { over = true; }
  Status status;
  long then = -1;
  std::atomic<bool> done{false}, over{false};
};

struct Peer {
  Peer(const std::string& coordinator, uint32_t slot, TransportChoice transport) {
    PeerOptions options;
    options.coordinator = coordinator;
    options.slot = Slot(slot);
    options.transport = transport;
    options.op_timeout = kPatience;
    driver = PeerDriver::create(options).value();
    send.resize(kCount);
    recv.resize(kCount);
  }
  Result<uint64_t> submit(Completion& completion) {
    OpSpec spec;
    spec.dtype = ::rhz::reduce::Dtype::u32;
    spec.count = kCount;
    spec.send = reinterpret_cast<const std::byte*>(send.data());
    spec.recv = reinterpret_cast<std::byte*>(recv.data());
    spec.timeout = kPatience;
    return driver->submit(kRootGroup, spec, &completion);
  }
  // As rhz_op_wait.
  Status wait(Completion& completion) {
    try {
      const bool in_time = driver->progress().wait([&] { return completion.done && completion.over; }, driver->now() + kPatience);
      counted = false;
      return in_time ? completion.status : Status(Code::kTimeout, "it hangs");
    } catch (const OutOfMemory& e) {
      counted = false;
      return {Code::kMemory, e.what()};
    }
  }
  Status reduce() {
    Completion completion;
    const auto handle = submit(completion);
    return handle ? wait(completion) : handle.status();
  }
  std::shared_ptr<PeerDriver> driver;
  std::vector<uint32_t> send, recv;
};

struct Trio {
  explicit Trio(TransportChoice transport) {
    rhz_coordinator_params params{};
    params.struct_size = sizeof params;
    params.world = kRanks;
    CoordinatorOptions config;
    EXPECT_TRUE(api::coordinator_options(params, config).is_ok());
    coordinator = CoordinatorDriver::start(config).value();
    for (uint32_t slot = 0; slot < kRanks; ++slot)
      peers.push_back(std::make_unique<Peer>(coordinator->address(), slot, transport));
  }
  std::unique_ptr<CoordinatorDriver> coordinator;
  std::vector<std::unique_ptr<Peer>> peers;
};

bool says_no_memory(const std::function<void()>& call) {
  try {
    call();
    return false;
  } catch (const OutOfMemory&) {
    return true;
  }
}

// Of whoever has no memory any more.
void is_out(Peer& victim) {
  Completion late;
  const auto handle = victim.submit(late);
  EXPECT_EQ(handle.status().code(), Code::kMemory);
  EXPECT_TRUE(says_no_memory([&] { (void)victim.driver->membership(); }));
  EXPECT_TRUE(says_no_memory([&] { (void)victim.driver->leave(kPatience); }));
  victim.driver->close();
  victim.driver.reset();
}

// The others: ops end, in the end without the victim and without the leaver.
void goes_on_alone(Peer& other) {
  Status status;
  uint32_t world = 0;
  for (const auto until = std::chrono::steady_clock::now() + kPatience; world != 1 && std::chrono::steady_clock::now() < until;) {
    status = other.reduce();
    ASSERT_TRUE(status.is_ok()) << status.text();
    world = other.driver->membership().view.size();
  }
  EXPECT_EQ(world, 1u);
  other.driver->close();
}

class Shortage : public ::testing::TestWithParam<TransportChoice> {
 protected:
  // What the victim does until it has no memory; false: it had enough.
  using Ends = bool (*)(Peer& victim, long allocations);
  void SetUp() override { setenv("RHZ_LOG", "none", 1); }  // a line per victim
  void TearDown() override { unsetenv("RHZ_LOG"); }
  void play(long allocations, Ends ends) {
    Trio run(GetParam());
    std::atomic<bool> broken{false};
    std::vector<std::thread> threads;
    for (uint32_t slot = 0; slot < kRanks; ++slot) {
      threads.emplace_back([&, slot] {
        Peer& peer = *run.peers[slot];
        ASSERT_TRUE(peer.driver->join(kPatience).is_ok());
        ASSERT_TRUE(peer.reduce().is_ok());
        if (slot == kLeaver) return peer.driver->close();  // its end costs the others memory
        if (slot != kVictim) return goes_on_alone(peer);
        broken = ends(peer, allocations);
        if (broken) is_out(peer);
        else peer.driver->close();
      });
    }
    for (std::thread& thread : threads) thread.join();
    ended_ += broken;
  }
  // Of allocations that the victim still gets, none among them.
  void for_each_amount(Ends ends) {
    for (long n = 0; n < 30; ++n) {
      SCOPED_TRACE(n);
      play(n, ends);
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(ended_, 10);
  }
  int ended_ = 0;  // victims that did not have enough
};

TEST_P(Shortage, OnTheThreadThatWaitsEndsItsOpsAndThePeer) {
  for_each_amount([](Peer& victim, long allocations) {
    for (int i = 0; i < 3; ++i) {
      Completion completion;
      if (!victim.submit(completion)) return true;
      Status status;
      {
        Counting few(allocations);
        status = victim.wait(completion);
      }
      if (status.is_ok()) continue;
      EXPECT_EQ(status.code(), Code::kMemory) << status.text();
      EXPECT_TRUE(completion.over);
      return true;
    }
    return false;
  });
}

TEST_P(Shortage, InACallEndsItAndThePeer) {
  for_each_amount([](Peer& victim, long allocations) {
    for (int i = 0; i < 50; ++i) {
      Completion completion;
      Result<uint64_t> handle = uint64_t{0};
      {
        Counting few(allocations);
        handle = victim.submit(completion);
      }
      const Status status = handle ? victim.wait(completion) : handle.status();
      if (status.is_ok()) continue;
      EXPECT_EQ(status.code(), Code::kMemory) << status.text();
      return true;
    }
    return false;
  });
}

TEST_P(Shortage, OnTheProgressThreadEndsThePeerAsWell) {
  for_each_amount([](Peer& victim, long allocations) {
    Completion first;
    first.then = allocations;
    if (!victim.submit(first)) return true;
    const auto until = std::chrono::steady_clock::now() + kPatience;
    // Nobody waits in a call: the progress thread has the loop, and takes its last memory.
    while (!first.over && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    counted = false;  // it was this thread, if the op was over inside submit()
    EXPECT_TRUE(first.over);
    std::vector<std::unique_ptr<Completion>> more;
    for (int i = 0; i < 50 && first.status.is_ok(); ++i) {
      more.push_back(std::make_unique<Completion>());
      if (!victim.submit(*more.back())) break;
      while (!more.back()->over && std::chrono::steady_clock::now() < until) std::this_thread::yield();
      EXPECT_TRUE(more.back()->over);
      if (more.back()->status.is_ok()) continue;
      EXPECT_EQ(more.back()->status.code(), Code::kMemory) << more.back()->status.text();
      break;
    }
    return victim.driver->progress().is_broken();
  });
}

INSTANTIATE_TEST_SUITE_P(Over, Shortage, ::testing::Values(TransportChoice::kTcp, TransportChoice::kShm),
                         [](const auto& info) { return info.param == TransportChoice::kTcp ? "Tcp" : "Shm"; });

}  // namespace
}  // namespace rhz::test
