// A run whose state is kept in shards with parity: its coordinator (on a thread of this process)
// and vaults that stand for several hosts (children), all on this machine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/src/coordinator_driver.h"
#include "api/tools/child.h"
#include "api/tools/status_client.h"

namespace rhz::tools {

class HostVaults {
 public:
  // Blocks until the coordinator knows them all.
  static Result<std::unique_ptr<HostVaults>> start(const std::string& run_id, uint32_t world,
                                                   uint32_t hosts);
  ~HostVaults();  // kills them
  HostVaults(const HostVaults&) = delete;
  HostVaults& operator=(const HostVaults&) = delete;

  const std::string& coordinator() const { return coordinator_->address(); }
  void kill(uint32_t host);
  // Another one, and empty; after kill().
  Status replace(uint32_t host);
  // Whether each of so many stages would come back if any one host died now.
  bool stand(uint32_t stages);
  // Takes what they print, so that none of them waits for a reader.
  void drain();

 private:
  HostVaults() = default;
  // Until the coordinator knows as many as there are.
  Status await();

  std::string run_id_;
  std::unique_ptr<CoordinatorDriver> coordinator_;
  std::unique_ptr<StatusClient> status_;
  std::vector<Child> vaults_;  // by host; pid < 0: killed
};

}  // namespace rhz::tools
