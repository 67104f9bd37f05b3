#include "tests/integration/two_hosts.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace rhz::test {
namespace {

// A user without rights gets them in a user namespace of its own, where the system permits one.
bool leave_for_a_new_network() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(user == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  if (user == 0) return true;
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
  return geteuid() == 0;
}

}  // namespace

TwoHosts::TwoHosts() {
  if (!leave_for_a_new_network()) {
    missing_ = std::string("network namespaces are not permitted: ") + std::strerror(errno);
    return;
  }
  holder_ = std::make_unique<Process>(
      words("/usr/bin/env unshare --net sh -c") + Words{"echo ready; exec cat"},
      folder_.file("holder.err"));
  if (!holder_->await("ready", Clock::now() + kPatience)) {
    missing_ = "unshare: " + holder_->errors();
    return;
  }
  const std::string second = "nsenter --net=/proc/" + std::to_string(holder_->pid()) + "/ns/net ";
  (void)(run("ip link set lo up") &&
         run("ip link add name first type veth peer name second netns " +
             std::to_string(holder_->pid())) &&
         run(std::string("ip address add dev first ") + kFirst + "/24") &&
         run("ip link set first up") && run(second + "ip link set lo up") &&
         run(second + "ip address add dev second " + kSecond + "/24") &&
         run(second + "ip link set second up"));
}

bool TwoHosts::run(const std::string& command) {
  const std::string errors = folder_.file("setup.err");
  Process process(words("/usr/bin/env " + command), errors);
  const auto status = process.wait(Clock::now() + kPatience);
  if (status && *status == 0) return true;
  missing_ = command + ": " + process.errors();
  return false;
}

Words TwoHosts::on_second() const {
  return words("nsenter --net=/proc/" + std::to_string(holder_->pid()) + "/ns/net");
}

}  // namespace rhz::test
