// A host without a free port for a connection that goes out: errors that say so, in time; and nothing worse once there is one again.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/src/coordinator_config.h"
#include "api/src/coordinator_driver.h"
#include "api/src/peer_driver.h"
#include "runtime/base/fd.h"

namespace rhz::test {
namespace {

constexpr std::chrono::seconds kPatience{20};
constexpr uint16_t kFirst = 40000, kLast = 40003;  // all the ports that the system gives out itself

// The calling thread's, and that of threads it starts: with a loopback and nothing else.  What it lacks: empty.
std::string enter_own_network() {
  if (unshare(CLONE_NEWNET) != 0) return std::string("no network namespace: ") + std::strerror(errno);
  const Fd socket(::socket(AF_INET, SOCK_DGRAM, 0));
  ifreq lo{};
  std::strcpy(lo.ifr_name, "lo");
  lo.ifr_flags = IFF_UP;
  if (ioctl(socket.get(), SIOCSIFFLAGS, &lo) != 0) return std::string("no loopback: ") + std::strerror(errno);
  std::ofstream range("/proc/sys/net/ipv4/ip_local_port_range");
  range << kFirst << ' ' << kLast << std::flush;
  return range ? "" : "the range of ports cannot be set";
}

std::vector<Fd> take_all_ports() {
  std::vector<Fd> taken;
  for (int port = kFirst; port <= kLast; ++port) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << port << ": " << std::strerror(errno);
    taken.push_back(std::move(socket));
  }
  return taken;
}

std::unique_ptr<CoordinatorDriver> start_coordinator(uint32_t world) {
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.world = world;
  params.listen = "127.0.0.1:30000";
  CoordinatorOptions config;
  EXPECT_TRUE(api::coordinator_options(params, config).is_ok());
  auto started = CoordinatorDriver::start(config);
  EXPECT_TRUE(started.is_ok()) << started.status().text();
  return std::move(started).value();
}

PeerOptions peer(const CoordinatorDriver& coordinator, int port) {
  PeerOptions options;
  options.coordinator = coordinator.address();
  options.transport = TransportChoice::kTcp;
  options.listen = "127.0.0.1:" + std::to_string(port);
  options.connect_timeout = milliseconds(500);
  return options;
}

// In a thread, whose namespace goes with it.
void in_own_network(const std::function<void()>& test) {
  std::string missing;
  std::thread([&] {
    missing = enter_own_network();
    if (missing.empty()) test();
  }).join();
  if (!missing.empty()) GTEST_SKIP() << missing;
}

TEST(Ports, WithoutOneToListenOnAPeerIsNotMade) {
  in_own_network([] {
    const auto coordinator = start_coordinator(1);
    const auto all = take_all_ports();
    const auto made = PeerDriver::create(peer(*coordinator, 0));
    ASSERT_FALSE(made.is_ok());
    EXPECT_EQ(made.status().code(), Code::kAddressInUse) << made.status().text();
    EXPECT_NE(made.status().text().find("127.0.0.1:0"), std::string::npos) << made.status().text();
  });
}

TEST(Ports, WithoutOneToGoOutFromAPeerSaysSoInTime) {
  in_own_network([] {
    const auto coordinator = start_coordinator(1);
    const auto all = take_all_ports();
    auto made = PeerDriver::create(peer(*coordinator, 30001));
    ASSERT_TRUE(made.is_ok()) << made.status().text();
    const Status joined = made.value()->join(kPatience);
    EXPECT_EQ(joined.code(), Code::kUnreachable);
    EXPECT_NE(joined.text().find(std::strerror(EADDRNOTAVAIL)), std::string::npos) << joined.text();
    made.value()->close();
  });
}

TEST(Ports, OneThatIsFreeAgainIsTaken) {
  in_own_network([] {
    const auto coordinator = start_coordinator(2);
    auto all = take_all_ports();
    std::vector<std::shared_ptr<PeerDriver>> peers;
    for (int i = 0; i < 2; ++i) {
      PeerOptions options = peer(*coordinator, 30001 + i);
      options.connect_timeout = kPatience;
      auto made = PeerDriver::create(options);
      ASSERT_TRUE(made.is_ok()) << made.status().text();
      peers.push_back(made.value());
      EXPECT_EQ(peers.back()->join(milliseconds(100)).code(), Code::kPending);  // it has tried in vain
    }
    all.clear();
    std::vector<std::thread> threads;
    for (const auto& driver : peers) {
      threads.emplace_back([driver] {
        const Status joined = driver->join(kPatience);
        EXPECT_TRUE(joined.is_ok()) << joined.text();
        EXPECT_TRUE(driver->leave(kPatience).is_ok());
        driver->close();
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
}

}  // namespace
}  // namespace rhz::test
