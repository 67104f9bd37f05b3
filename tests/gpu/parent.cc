#include "tests/gpu/parent.h"

#include <fcntl.h>
#include <poll.h>
#include <rhizome/rhizome.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>

#include "tests/gpu/cuda_calls.h"
#include "tests/gpu/rank.h"

namespace rhz::gpu {
namespace {

constexpr int kPatienceMs = 120000;  // without a line from any rank

struct Child {
  pid_t pid = -1;
  int in = -1, out = -1;  // of the parent: writes to, reads from
  std::string rest;
  std::vector<std::string> lines;
  bool over = false, killed = false;
  int status = 0;
};

// Without CUDA in this process: forks of one that uses it do not work.
int count_devices() {
  const pid_t pid = fork();
  if (pid == 0) _exit(devices());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

std::string own_program() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : "rhz_gpu_check";
}

// The program is the first of the arguments.
Child start(const std::vector<std::string>& arguments) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) std::exit(2);
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  Child child;
  child.pid = fork();
  if (child.pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(in[0]), close(out[1]);
  child.in = in[1];
  child.out = out[0];
  return child;
}

// A run of its own: coordinator and ranks.
class Run {
 public:
  Run(uint32_t ranks, int devices, const std::string& role, const std::vector<std::string>& more,
      const std::vector<std::string>& under = {}) {
    rhz_coordinator_params params{};
    params.struct_size = sizeof params;
    params.run_id = "gpu";
    params.world = ranks;
    if (rhz_coordinator_start(&params, &coordinator_) != RHZ_OK) {
      std::fprintf(stderr, "coordinator: %s\n", rhz_last_error());
      std::exit(2);
    }
    for (uint32_t slot = 0; slot < ranks; ++slot) {
      std::vector<std::string> a = under;
      const std::vector<std::string> own = {own_program(),
                                            "--role",
                                            role,
                                            "--coordinator",
                                            rhz_coordinator_address(coordinator_),
                                            "--slot",
                                            std::to_string(slot),
                                            "--ranks",
                                            std::to_string(ranks),
                                            "--devices",
                                            std::to_string(devices),
                                            "--device",
                                            std::to_string(slot % static_cast<uint32_t>(devices))};
      a.insert(a.end(), own.begin(), own.end());
      a.insert(a.end(), more.begin(), more.end());
      children_.push_back(start(a));
    }
  }
  ~Run() {
    for (Child& c : children_) {
      if (!c.over) kill(c.pid, SIGKILL), reap(c);
      close(c.in), close(c.out);
    }
    rhz_coordinator_stop(coordinator_);
  }

  std::vector<Child>& children() { return children_; }
  // False: nothing more will come, or nothing came for too long.
  bool read_some(int patience_ms) {
    std::vector<pollfd> fds;
    std::vector<Child*> of;
    for (Child& c : children_)
      if (!c.over) fds.push_back({c.out, POLLIN, 0}), of.push_back(&c);
    if (fds.empty() || ::poll(fds.data(), fds.size(), patience_ms) <= 0) return false;
    for (size_t i = 0; i < fds.size(); ++i)
      if (fds[i].revents) read_from(*of[i]);
    return true;
  }
  void stop_votes() {
    for (Child& c : children_)
      if (c.in >= 0) (void)!write(c.in, "\n", 1);
  }

 private:
  static void reap(Child& c) {
    waitpid(c.pid, &c.status, 0);
    c.over = true;
  }
  static void read_from(Child& c) {
    char bytes[4096];
    const ssize_t n = read(c.out, bytes, sizeof bytes);
    if (n <= 0) return reap(c);
    c.rest.append(bytes, static_cast<size_t>(n));
    for (size_t end; (end = c.rest.find('\n')) != std::string::npos; c.rest.erase(0, end + 1))
      c.lines.push_back(c.rest.substr(0, end));
  }

  rhz_coordinator* coordinator_ = nullptr;
  std::vector<Child> children_;
};

// Joins the ranks' lines of one check.
bool report(std::vector<Child>& children) {
  std::vector<std::string> order;
  std::map<std::string, std::string> wrong;
  std::map<std::string, size_t> seen;
  for (Child& c : children)
    for (const std::string& line : c.lines) {
      const bool ok = line.starts_with("ok "), fail = line.starts_with("FAIL ");
      if (!ok && !fail) continue;
      const size_t colon =
          fail ? line.find(": ",
                           5 + (line.find("stream: ") == 5 || line.find("kills: ") == 5 ? 8 : 0))
               : std::string::npos;
      const std::string name =
          ok ? line.substr(3) : line.substr(5, colon == std::string::npos ? colon : colon - 5);
      if (seen[name]++ == 0) order.push_back(name);
      if (fail) wrong[name] += " [" + line.substr(5 + name.size()) + "]";
    }
  bool well = true;
  for (const std::string& name : order) {
    const bool fine = wrong[name].empty();
    std::printf("%s %s%s\n", fine ? "ok" : "FAIL", name.c_str(), wrong[name].c_str());
    well &= fine;
  }
  for (size_t i = 0; i < children.size(); ++i) {
    const Child& c = children[i];
    if (c.killed || (c.over && WIFEXITED(c.status) && WEXITSTATUS(c.status) <= 1)) continue;
    std::printf("FAIL rank %zu: %s\n", i, c.over ? "it crashed" : "it did not end");
    well = false;
  }
  std::fflush(stdout);
  return well;
}

// "op SALT BEGUN_NS OVER_NS rebuilds N status S"
struct OpLine {
  unsigned salt = 0, rebuilds = 0;
  uint64_t begun = 0, over = 0;
  int status = 0;
};
bool parse(const std::string& line, OpLine& op) {
  return std::sscanf(line.c_str(), "op %u %" SCNu64 " %" SCNu64 " rebuilds %u status %d", &op.salt,
                     &op.begun, &op.over, &op.rebuilds, &op.status) == 5;
}

size_t lines_of(const Child& c, const char* kind) {
  return static_cast<size_t>(std::count_if(
      c.lines.begin(), c.lines.end(), [&](const std::string& l) { return l.starts_with(kind); }));
}

// Of the op in which the kill fell: when it was over on all survivors, and whether it had begun on
// all of them before.
struct Aftermath {
  bool known = false, in_op = true;
  uint64_t over = 0;
};
Aftermath aftermath(const std::vector<Child>& children, uint64_t kill_ns) {
  Aftermath after{true};
  for (const Child& c : children) {
    if (c.killed) continue;
    bool found = false;
    OpLine op;
    for (const std::string& line : c.lines) {
      if (!parse(line, op) || op.over <= kill_ns) continue;
      found = true;
      after.over = std::max(after.over, op.over);
      after.in_op &= op.begun < kill_ns;
      break;
    }
    after.known &= found || c.over;
  }
  return after;
}

}  // namespace

Parent::Parent(const std::string& under) : devices_(count_devices()), random_(20251126) {
  std::istringstream words(under);
  for (std::string word; words >> word;) under_.push_back(word);
  signal(SIGPIPE, SIG_IGN);
  if (devices_ == 0) std::printf("FAIL there is no CUDA device\n"), std::exit(1);
  std::printf("devices %d\n", devices_);
}

bool Parent::run(const std::string& role, uint32_t ranks) {
  Run run(ranks, devices_, role, {}, under_);
  while (run.read_some(kPatienceMs)) {
  }
  return report(run.children());
}

namespace {

uint64_t killed_at(const Child& c) {
  uint64_t ns = 0;
  for (const std::string& line : c.lines) (void)std::sscanf(line.c_str(), "killed %" SCNu64, &ns);
  return ns;
}

// One of the living dies in the middle of its next op.  False: they no longer move.
bool kill_one(Run& run, std::mt19937& random, std::vector<double>& took) {
  auto& children = run.children();
  std::vector<size_t> living, counts;
  for (size_t i = 0; i < children.size(); ++i)
    if (!children[i].killed) living.push_back(i), counts.push_back(lines_of(children[i], "op "));
  const auto all_have_moved = [&] {
    for (size_t i = 0; i < living.size(); ++i)
      if (lines_of(children[living[i]], "op ") < counts[i] + 2) return false;
    return true;
  };
  while (!all_have_moved())
    if (!run.read_some(kPatienceMs)) return false;
  Child& victim = children[living[random() % living.size()]];
  if (write(victim.in, "k", 1) != 1) return false;
  victim.killed = true;
  while (!victim.over)
    if (!run.read_some(kPatienceMs)) return false;
  const uint64_t at = killed_at(victim);
  if (at == 0) return false;
  while (!aftermath(children, at).known)
    if (!run.read_some(kPatienceMs)) return false;
  const Aftermath after = aftermath(children, at);
  if (after.in_op) took.push_back(static_cast<double>(after.over - at) / 1e6);
  return true;
}

}  // namespace

bool Parent::run_kills(uint32_t ranks, uint32_t kills, uint64_t bytes, bool registered) {
  const uint32_t modes[] = {RHZ_REBUILD_STRICT, RHZ_REBUILD_KEEP, RHZ_REBUILD_FAIL};
  std::vector<double> took;
  bool well = true;
  uint32_t done = 0;
  for (uint32_t group = 0; done < kills && well; ++group) {
    Run run(ranks, devices_, "kills",
            {"--bytes", std::to_string(bytes), "--rebuild", std::to_string(modes[group % 3]),
             "--least", "1", "--registered", registered ? "1" : "0"});
    for (uint32_t k = 0; k + 1 < ranks && done < kills && well; ++k, ++done)
      well = kill_one(run, random_, took);
    run.stop_votes();
    while (run.read_some(kPatienceMs)) {
    }
    well &= report(run.children());
  }
  std::sort(took.begin(), took.end());
  std::printf("kills %u of ranks in groups of %u", done, ranks);
  if (!took.empty())
    std::printf(
        "; %s; %zu in the middle of an op, from the kill to the op over on all survivors, ms: p50 "
        "%.1f p90 %.1f max %.1f",
        registered ? "by kernels" : "through the host", took.size(), took[took.size() / 2],
        took[took.size() * 9 / 10], took.back());
  std::printf("\n");
  return well;
}

}  // namespace rhz::gpu
