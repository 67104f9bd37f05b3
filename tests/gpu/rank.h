// One rank of the GPU checks: a process of its own, with a device, a communicator, and a line for
// each check.
#pragma once

#include <rhizome/rhizome.h>
#include <rhizome/rhizome_cuda.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/gpu/cuda_calls.h"

namespace rhz::gpu {

struct Setting {
  std::string coordinator;
  uint32_t slot = 0, ranks = 1, devices = 1;
  int device = 0;
};

class Rank {
 public:
  explicit Rank(const Setting& setting);
  ~Rank();
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  rhz_comm* comm() const { return comm_; }
  uint32_t slot() const { return setting_.slot; }
  uint32_t ranks() const { return setting_.ranks; }
  Stream stream() const { return stream_; }
  bool has_own_device() const { return setting_.ranks <= setting_.devices; }

  // Prints "ok NAME" or "FAIL NAME: what"; the process ends with 1 when any failed.
  void check(const std::string& name, const std::string& wrong);
  bool failed() const { return failed_; }

 private:
  const Setting setting_;
  rhz_comm* comm_ = nullptr;
  Stream stream_ = nullptr;
  bool failed_ = false;
};

uint64_t now_ns();
// The op's outcome; frees it.  A text when the status is another than the one expected.
std::string outcome(rhz_status submitted, rhz_op* op, rhz_status expected = RHZ_OK);

void check_collectives(Rank& rank);  // collectives_check.cc
void check_blocks(Rank& rank);       // blocks_check.cc
void check_streams(Rank& rank);      // streams_check.cc
// Of an op on this memory, 4 MiB of it at most.
std::string cancelled_in(Rank& rank, Memory memory);
void check_windows(Rank& rank);   // windows_check.cc
void check_messages(Rank& rank);  // messages_check.cc
// sync_check.cc: a member, or who joins it, of a run of two; the exit status.
int be_sync_peer(const Setting& setting, bool joins);
// kills_check.cc: runs all-reduces until fewer than `least` ranks are left, or stdin ends; a line
// for each.
void run_until_killed(Rank& rank, uint32_t least, uint64_t bytes, uint32_t rebuild,
                      bool registered);

}  // namespace rhz::gpu
