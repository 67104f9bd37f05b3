// Two network namespaces joined by a veth pair, as far as programs see two hosts.
//
// The test's own process moves into the first one and its children start there; the second one is
// entered by a prefix to their command lines.  Both vanish with the process.
#pragma once

#include <memory>
#include <string>

#include "tests/integration/cli.h"

namespace rhz::test {

class TwoHosts {
 public:
  static constexpr const char* kFirst = "10.77.0.1";
  static constexpr const char* kSecond = "10.77.0.2";

  // Before the process has threads.  Once a process.
  TwoHosts();
  // Why there are none here; empty: there are.
  const std::string& missing() const { return missing_; }
  // What to put before a command that shall run on the second host.
  Words on_second() const;

 private:
  bool run(const std::string& command);

  const Folder folder_;
  std::string missing_;
  std::unique_ptr<Process> holder_;  // keeps the second namespace
};

}  // namespace rhz::test
