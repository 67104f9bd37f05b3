// The hosts: namespaces and their devices, by system calls alone, so that no program has to be installed.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "api/tools/lan.h"

namespace rhz::tools {
namespace {

constexpr const char* kDevice = "lan";

Status failed(const char* what) { return {Code::kIo, std::string(what) + ": " + std::strerror(errno)}; }

// Who is not root gets the rights in a user namespace of its own, where the system permits one.
Status become_root() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (user == 0) return {};
  if (unshare(CLONE_NEWUSER) != 0) return failed("no user namespace");
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
  return geteuid() == 0 ? Status() : failed("no rights in a user namespace");
}

ifreq request(const char* device) {
  ifreq r{};
  std::strncpy(r.ifr_name, device, IFNAMSIZ - 1);
  return r;
}

bool set_address(int socket, unsigned long what, const std::string& address) {
  ifreq r = request(kDevice);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  inet_pton(AF_INET, address.c_str(), &in.sin_addr);
  std::memcpy(&r.ifr_addr, &in, sizeof in);
  return ioctl(socket, what, &r) == 0;
}

bool raise(int socket, const char* device) {
  ifreq r = request(device);
  if (ioctl(socket, SIOCGIFFLAGS, &r) != 0) return false;
  r.ifr_flags |= IFF_UP;
  return ioctl(socket, SIOCSIFFLAGS, &r) == 0;
}

}  // namespace

std::string Lan::address_of(uint32_t host) { return "10.78.0." + std::to_string(host + 1); }

Status Lan::make_host(uint32_t index) {
  Host& host = hosts_[index];
  if (unshare(CLONE_NEWNET) != 0) return failed("no network namespace");
  host.network = Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!host.network) return failed("/proc/thread-self/ns/net");
  host.tun = Fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!host.tun) return failed("/dev/net/tun");
  ifreq r = request(kDevice);
  r.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(host.tun.get(), TUNSETIFF, &r) != 0) return failed("no TUN device");
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int s = socket.get();
  if (!raise(s, "lo") || !set_address(s, SIOCSIFADDR, address_of(index)) ||
      !set_address(s, SIOCSIFNETMASK, "255.255.255.0") || !raise(s, kDevice))
    return failed("cannot set the device up");
  return {};
}

Result<std::unique_ptr<Lan>> Lan::make(uint32_t hosts, uint64_t seed) {
  if (Status status = become_root(); !status) return status;
  std::unique_ptr<Lan> lan(new Lan(hosts, seed));
  for (uint32_t i = 0; i < hosts; ++i)
    if (Status status = lan->make_host(i); !status) return status;
  if (setns(lan->network_of(0), CLONE_NEWNET) != 0) return failed("setns");
  lan->thread_ = std::thread([wire = lan.get()] { wire->carry(); });
  return lan;
}

}  // namespace rhz::tools
