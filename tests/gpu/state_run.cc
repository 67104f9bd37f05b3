#include <fcntl.h>
#include <rhizome/rhizome.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "recovery/vault/holder_process.h"
#include "recovery/vault/server.h"
#include "runtime/wire/frame.h"
#include "tests/gpu/state_trainer.h"

namespace rhz::gpu {

bool be_device_holder(int argc, char** argv) {
  if (argc != 2 || std::strcmp(argv[1], "--device-holder") != 0) return false;
  if (const Status end = recovery::be_device_holder(); !end)
    std::fprintf(stderr, "holder: %s\n", end.text().c_str());
  return true;
}

StateRun::StateRun(uint64_t bytes)
    : bytes_(bytes),
      vault_("rhizome-gpu-state-" + std::to_string(getpid())),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  recovery::VaultServerOptions options;
  options.name = vault_;
  options.run = wire::run_hash("gpu-state");
  options.start_holder = [] {
    return recovery::start_device_holder({"/proc/self/exe", "--device-holder"});
  };
  auto server = recovery::VaultServer::open(options);
  if (!server) std::fprintf(stderr, "vault: %s\n", server.status().text().c_str()), std::exit(2);
  serving_ = std::thread(
      [held = std::move(server).value(), stop = stop_]() mutable { (void)held.run(stop); });
}

StateRun::~StateRun() {
  kill_trainer();
  const uint64_t one = 1;
  (void)!write(stop_, &one, sizeof one);
  serving_.join();
  close(stop_);
  if (coordinator_) rhz_coordinator_stop(coordinator_);
}

// A run anew: the trainer of the last one has not left it.
void StateRun::start_coordinator() {
  if (coordinator_) rhz_coordinator_stop(coordinator_);
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.run_id = "gpu-state";
  params.world = 1;
  if (rhz_coordinator_start(&params, &coordinator_) != RHZ_OK)
    std::fprintf(stderr, "coordinator: %s\n", rhz_last_error()), std::exit(2);
}

StateRun::Answer StateRun::start() {
  kill_trainer();
  start_coordinator();
  const std::string address = rhz_coordinator_address(coordinator_), bytes = std::to_string(bytes_);
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) std::exit(2);
  std::fflush(stdout);
  setenv("RHZ_VAULT", vault_.c_str(), 1);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    execl("/proc/self/exe", "state-trainer", "--state-trainer", address.c_str(), bytes.c_str(),
          nullptr);
    _exit(127);
  }
  close(in[0]), close(out[1]);
  in_ = in[1], out_ = out[0];
  rest_.clear();
  return say("hello");
}

StateRun::Answer StateRun::say(const std::string& line) {
  const std::string whole = line + "\n";
  Answer answer;
  answer.text = "the trainer is gone";
  if (write(in_, whole.data(), whole.size()) < 0) return answer;
  size_t end;
  while ((end = rest_.find('\n')) == std::string::npos) {
    char bytes[1024];
    const ssize_t got = read(out_, bytes, sizeof bytes);
    if (got <= 0) return answer;
    rest_.append(bytes, static_cast<size_t>(got));
  }
  const std::string said = rest_.substr(0, end);
  rest_.erase(0, end + 1);
  int at = 0;
  if (std::sscanf(said.c_str(), "%d %lf %n", &answer.status, &answer.us, &at) < 2)
    answer.status = -1;
  answer.text = said.substr(static_cast<size_t>(at));
  return answer;
}

void StateRun::kill_trainer() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  (void)waitpid(pid_, nullptr, 0);
  close(in_), close(out_);
  pid_ = -1;
}

}  // namespace rhz::gpu
