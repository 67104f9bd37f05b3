// Vaults of several hosts of one run, each a process, and a trainer inside the test's own process
// whose stage they protect.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rhizome/rhizome_state.h"
#include "tests/integration/cli.h"
#include "tests/integration/local_run.h"

namespace rhz::test {

// Looks again and again, until it is so; false at the deadline.
bool until(const std::function<bool()>& so);

class VaultHosts {
 public:
  // `racks`: hosts i and i + racks are in one rack; 0: no racks.  `memory`: of each, for shards.
  VaultHosts(std::string run, std::string coordinator, uint32_t hosts, uint32_t racks = 0,
             std::string memory = "256MiB");
  // Started, or again after kill(): another vault, and empty.
  void start(uint32_t host);
  void start_all();
  // SIGKILL, at once for all of them.
  void kill(const std::vector<uint32_t>& hosts);
  void signal(uint32_t host, int number) { vaults_[host]->signal(number); }
  // Where it serves shards.
  const std::string& address(uint32_t host) const { return addresses_[host]; }
  uint32_t size() const { return static_cast<uint32_t>(vaults_.size()); }

 private:
  const std::string run_, coordinator_;
  const uint32_t racks_;
  const std::string memory_;
  std::vector<std::unique_ptr<Cli>> vaults_;
  std::vector<std::string> addresses_;
};

// A trainer whose state is a function of its revision.
class StageTrainer {
 public:
  StageTrainer(const std::string& run, const std::string& coordinator, uint32_t slot, size_t words,
               uint32_t stage = 0);
  ~StageTrainer() { rhz_comm_close(comm_); }
  StageTrainer(const StageTrainer&) = delete;
  StageTrainer& operator=(const StageTrainer&) = delete;

  void join();
  // The next revision, and a snapshot of it, complete unless it is still being `copied`.
  void step(bool copied = true);
  uint64_t revision() const { return revision_; }
  // Protects the newest revision as the stage's; the fence's status.
  rhz_status protect(uint32_t data_shards = 4, uint32_t parity_shards = 2);
  // Again with newer revisions, until that many vaults are known and `stands` hosts may die.
  bool protect_until_it_stands(uint32_t stands, uint32_t data_shards = 4,
                               uint32_t parity_shards = 2);
  // All-reduces, one behind the other, until it is so; false at the deadline.
  bool train_until(const std::function<bool()>& so);
  rhz_status restore(uint64_t revision = 0);
  // The same by rhz_restore, which names no stage.
  rhz_status restore_slot(uint64_t revision = 0);
  // The tensors are those of this revision, each word.
  bool holds(uint64_t revision) const;
  rhz_generation_info generation();
  rhz_comm* comm() { return comm_; }

 private:
  void fill(uint64_t revision);
  void forget();

  const uint32_t stage_;
  rhz_comm* comm_ = nullptr;
  uint64_t revision_ = 0;
  std::vector<uint64_t> weights_, moments_;
};

}  // namespace rhz::test
