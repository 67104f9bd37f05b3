// A folder for sockets and rendezvous files that is gone with this process, also after a signal.
#pragma once

#include <string>

namespace rhz::perf {

class Scratch {
 public:
  // Call while the process has one thread: blocks SIGINT, SIGTERM and SIGHUP in all that follow;
  // one of them ends the process, and with it its children.
  Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  const std::string& path() const { return path_; }  // "": could not be made

 private:
  std::string path_;
};

}  // namespace rhz::perf
