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

// Of a host without a driver: whoever asks is told so.
class NoMemory final : public PlainMemory {
 public:
  explicit NoMemory(Status why) : why_(std::move(why)) {}
  Result<PlainBlock> share(const std::byte*) override { return why_; }
  Result<std::byte*> allocate(uint64_t, const DeviceId&) override { return why_; }
  void free(std::byte*) override {}
  Result<MutableBytes> open(const SharedAllocation&) override { return why_; }
  void close(const SharedAllocation&) override {}
  Status copy(const DeviceId&, std::byte*, const std::byte*, uint64_t) override { return why_; }

 private:
  const Status why_;
};

}  // namespace

Result<Fd> start_device_holder(std::vector<std::string> command) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return Status(Code::kMemory, "the vault has no descriptors left");
  Fd own(ends[0]), other(ends[1]);
  (void)fcntl(own.get(), F_SETFL, O_NONBLOCK);  // one that stands does not stop its vault
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
  sigset_t usual;  // how it ends is not what this process made of it
  sigemptyset(&usual);
  for (int signal : {SIGINT, SIGTERM, SIGCHLD, SIGPIPE}) sigaddset(&usual, signal);
  posix_spawnattr_setsigdefault(&how, &usual);
  posix_spawnattr_setflags(
      &how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
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
  int type = 0;
  socklen_t length = sizeof type;
  if (getsockopt(kToVault, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_SEQPACKET)
    return {Code::kState, "there is no vault at the other end: only a vault starts this"};
  (void)fcntl(kToVault, F_SETFD, FD_CLOEXEC);
  auto opened = open_state_memory();
  NoMemory none(opened.why_not);
  PlainMemory& memory = opened.memory ? opened.memory->plain() : none;
  return DeviceHolder(memory, Fd(kToVault)).run();
}

}  // namespace rhz::recovery
