// The wire.
#include "api/tools/lan.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "api/tools/lan_packet.h"
#include "api/tools/text.h"
#include "runtime/base/prng.h"

namespace rhz::tools {
namespace {

constexpr size_t kMostBytes = 2048;      // of a packet; the devices' MTU is 1500
constexpr int kMostAtOnce = 64;          // packets of one host in a turn
constexpr size_t kMostLate = 64 * 1024;  // packets
constexpr uint64_t kLineNs = 200'000'000;  // that a line's queue holds, as a modem's would

}  // namespace

Lan::Lan(uint32_t hosts, uint64_t seed) : hosts_(hosts), stop_(eventfd(0, EFD_CLOEXEC)), weather_(hosts), dice_(seed) {}

Lan::~Lan() {
  const uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof one) == sizeof one && thread_.joinable()) thread_.join();
}

void Lan::set_weather(Weather weather) {
  const std::lock_guard lock(mutex_);
  weather_ = std::move(weather);
}

void Lan::carry() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // they are the supervisor's
  std::vector<pollfd> fds;
  for (const Host& host : hosts_) fds.push_back({host.tun.get(), POLLIN, 0});
  fds.push_back({stop_.get(), POLLIN, 0});
  std::vector<uint8_t> packet;
  while (!(fds.back().revents & POLLIN)) {
    timespec pause{};
    now_ns_ = monotonic_ns();
    const uint64_t due_ns = late_.empty() ? 0 : std::max(now_ns_, late_.front().due_ns) - now_ns_;
    pause.tv_sec = static_cast<time_t>(due_ns / 1'000'000'000);
    pause.tv_nsec = static_cast<long>(due_ns % 1'000'000'000);
    if (ppoll(fds.data(), fds.size(), late_.empty() ? nullptr : &pause, nullptr) < 0) continue;
    now_ns_ = monotonic_ns();
    const std::lock_guard lock(mutex_);
    put_late_ones();
    for (uint32_t from = 0; from < hosts(); ++from) {
      if (!(fds[from].revents & POLLIN)) continue;
      for (int i = 0; i < kMostAtOnce; ++i) {
        packet.resize(kMostBytes);
        const ssize_t got = read(fds[from].fd, packet.data(), packet.size());
        if (got <= 0) break;
        packet.resize(static_cast<size_t>(got));
        take(from, packet);
      }
    }
  }
}

void Lan::take(uint32_t from, std::vector<uint8_t>& packet) {
  const uint32_t to = destination_of(packet) - 1;  // as address_of() has it
  if (to >= hosts()) return;                       // not ours: IPv6, multicast
  const Link& link = weather_.link(from, to);
  if (link.reset && reset(from, to, packet)) return;
  uint64_t due_ns = now_ns_;
  const bool lost = link.cut || Prng(dice_ + number_++).chance(link.loss) ||
                    !wait_for_line(hosts_[from].up_free_at_ns, weather_.bytes_per_s[from], packet.size(), due_ns) ||
                    !wait_for_line(hosts_[to].down_free_at_ns, weather_.bytes_per_s[to], packet.size(), due_ns);
  if (lost || late_.size() >= kMostLate) return void(++lost_);
  if (link.damage > 0 || link.forgery > 0) damage(link, packet);
  if (link.jitter_ns) due_ns += Prng(~dice_ + number_).below(link.jitter_ns);
  due_ns += link.delay_ns;
  if (due_ns == now_ns_) return put(to, packet);
  late_.push_back({due_ns, number_, to, packet});
  std::push_heap(late_.begin(), late_.end(), std::greater<>());
}

void Lan::damage(const Link& link, std::vector<uint8_t>& packet) {
  Prng dice(~dice_ + (number_ << 1));
  if (dice.chance(link.forgery)) forged_ += flip_a_bit_of_a_frame(packet, dice.next());
  if (dice.chance(link.damage)) damaged_ += flip_a_bit(packet, dice.next());
}

// False: its queue is full.
bool Lan::wait_for_line(uint64_t& free_at_ns, uint64_t bytes_per_s, size_t bytes, uint64_t& due_ns) const {
  if (!bytes_per_s) return true;
  free_at_ns = std::max(free_at_ns, due_ns);
  if (free_at_ns - due_ns > kLineNs) return false;
  free_at_ns += bytes * 1'000'000'000 / bytes_per_s;
  due_ns = free_at_ns;
  return true;
}

// A device whose queue is full loses it, as a real one would.
void Lan::put(uint32_t to, const std::vector<uint8_t>& packet) {
  const bool written = write(hosts_[to].tun.get(), packet.data(), packet.size()) > 0;
  ++(written ? carried_ : lost_);
}

void Lan::put_late_ones() {
  while (!late_.empty() && late_.front().due_ns <= now_ns_) {
    std::pop_heap(late_.begin(), late_.end(), std::greater<>());
    put(late_.back().to, late_.back().packet);
    late_.pop_back();
  }
}

// False: it is none of a connection that stands.
bool Lan::reset(uint32_t from, uint32_t to, const std::vector<uint8_t>& packet) {
  const std::vector<uint8_t> back = reset_to_sender(packet), on = reset_to_receiver(packet);
  if (back.empty()) return false;
  put(from, back);
  put(to, on);
  ++reset_;
  return true;
}

}  // namespace rhz::tools
