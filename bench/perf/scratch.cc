#include "bench/perf/scratch.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>

namespace rhz::perf {
namespace {

void remove(const std::string& path) {
  std::error_code ignored;
  if (!path.empty()) std::filesystem::remove_all(path, ignored);
}

}  // namespace

Scratch::Scratch() {
  std::error_code error;
  std::string name = (std::filesystem::temp_directory_path(error) / "rhz-perf-XXXXXX").string();
  if (error || !::mkdtemp(name.data())) {
    std::fprintf(stderr, "perf: no temporary folder: %s\n", std::strerror(errno));
    return;
  }
  path_ = name;
  sigset_t ends;
  ::sigemptyset(&ends);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&ends, signal);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::thread([ends, path = path_] {
    int signal = 0;
    ::sigwait(&ends, &signal);
    remove(path);
    ::_exit(128 + signal);
  }).detach();
}

Scratch::~Scratch() { remove(path_); }

}  // namespace rhz::perf
