#include "recovery/vault/holder_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <system_error>

#include "recovery/vault/device_holder.h"
#include "runtime/device/state_memory.h"

namespace rhz::recovery {
namespace {

constexpr int kToVault = 3;  // of the process that was started

}  // namespace

Result<Fd> start_device_holder(std::vector<std::string> command) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return Status(Code::kMemory, "the vault has no descriptors left");
  Fd own(ends[0]), other(ends[1]);
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, other.get(), kToVault);
  posix_spawnattr_t how;
  posix_spawnattr_init(&how);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setpgroup(&how, 0);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int failed = ::posix_spawnp(&pid, arguments[0], &files, &how, arguments.data(), environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0)
    return Status(Code::kIo, "cannot start who holds memory of devices: " +
                                 std::generic_category().message(failed));
  return own;
}

Status be_device_holder() {
  Fd vault(kToVault);
  auto opened = open_state_memory();
  if (!opened.memory) return opened.why_not;
  return DeviceHolder(opened.memory->plain(), std::move(vault)).run();
}

}  // namespace rhz::recovery
