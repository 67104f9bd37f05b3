// A network of our own: each host is a network namespace with one TUN device, and a thread of this process is the wire between
// them, packet by packet.  So any link can be cut in one direction, be narrow, lose, delay and reorder, or answer with resets,
// on every kernel that has TUN.  Everything vanishes with the process.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "api/tools/child.h"
#include "runtime/base/status.h"

namespace rhz::tools {

// One direction between two hosts.
struct Link {
  bool cut = false;
  bool reset = false;   // TCP connections end by a reset to both ends.  They may begin: to refuse them would say that nobody is there
  double loss = 0;      // of packets, 0 … 1
  // Bits flip: one in so many packets, so that their checksum does not fit; and in so many headers of frames, so that it does.
  double damage = 0, forgery = 0;
  // Each packet draws its own part of the jitter: they overtake each other.
  uint64_t delay_ns = 0, jitter_ns = 0;
};

struct Weather {
  explicit Weather(uint32_t hosts) : hosts(hosts), links(size_t{hosts} * hosts), bytes_per_s(hosts) {}
  Link& link(uint32_t from, uint32_t to) { return links[size_t{from} * hosts + to]; }
  const Link& link(uint32_t from, uint32_t to) const { return links[size_t{from} * hosts + to]; }

  uint32_t hosts;
  std::vector<Link> links;
  std::vector<uint64_t> bytes_per_s;  // of a host's line, each way; 0: as fast as it goes
};

class Lan {
 public:
  static constexpr uint32_t kMostHosts = 250;
  // Moves the calling thread, which must be the only one, to host 0: what it starts lives there.  kIo: not permitted here.
  [[nodiscard]] static Result<std::unique_ptr<Lan>> make(uint32_t hosts, uint64_t seed);
  ~Lan();
  Lan(const Lan&) = delete;
  Lan& operator=(const Lan&) = delete;

  uint32_t hosts() const { return static_cast<uint32_t>(hosts_.size()); }
  static std::string address_of(uint32_t host);
  // An open file, for Command::network.
  int network_of(uint32_t host) const { return hosts_[host].network.get(); }
  // From now on; good at the beginning.
  void set_weather(Weather weather);

  struct Counts {
    uint64_t carried, lost, reset, damaged, forged;  // packets
  };
  Counts counts() const { return {carried_, lost_, reset_, damaged_, forged_}; }

 private:
  struct Host {
    Fd network, tun;
    uint64_t up_free_at_ns = 0, down_free_at_ns = 0;  // the line has sent what was put on it
  };
  struct Late {
    uint64_t due_ns = 0, number = 0;
    uint32_t to = 0;
    std::vector<uint8_t> packet;
    bool operator>(const Late& other) const { return due_ns != other.due_ns ? due_ns > other.due_ns : number > other.number; }
  };

  Lan(uint32_t hosts, uint64_t seed);
  Status make_host(uint32_t host);  // lan_hosts.cc

  // The wire's thread.
  void carry();
  void take(uint32_t from, std::vector<uint8_t>& packet);
  void damage(const Link& link, std::vector<uint8_t>& packet);
  bool reset(uint32_t from, uint32_t to, const std::vector<uint8_t>& packet);
  bool wait_for_line(uint64_t& free_at_ns, uint64_t bytes_per_s, size_t bytes, uint64_t& due_ns) const;
  void put(uint32_t to, const std::vector<uint8_t>& packet);
  void put_late_ones();

  std::vector<Host> hosts_;
  Fd stop_;
  std::mutex mutex_;
  Weather weather_;  // under the mutex

  uint64_t now_ns_ = 0, number_ = 0, dice_;
  std::vector<Late> late_;  // a heap
  std::atomic<uint64_t> carried_ = 0, lost_ = 0, reset_ = 0, damaged_ = 0, forged_ = 0;
  std::thread thread_;
};

}  // namespace rhz::tools
