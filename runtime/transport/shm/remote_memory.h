// Reads the memory of another process (process_vm_readv): one copy, straight to its place, and
// never a write.  Progress thread only.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace rhz::shm {

class RemoteMemory {
 public:
  RemoteMemory() = default;
  // `token` stands at `token_address` in the process that is meant.
  RemoteMemory(pid_t pid, uint64_t token_address, uint64_t token)
      : pid_(pid), token_address_(token_address), token_(token) {}

  enum class Outcome : uint8_t {
    kRead,
    kBadAddress,  // nothing is there
    kOtherwise,   // the process is gone, another one has its number, or the system forbids it
  };
  // The token is read with every piece: process numbers are reused.
  Outcome read(std::byte* into, uint64_t from, size_t size) const;
  // Whether the system lets this process read that one.
  bool works() const;

 private:
  pid_t pid_ = 0;
  uint64_t token_address_ = 0, token_ = 0;
};

// Lets processes of this user read this one, where Yama lets only the parents of a process do so.
void permit_reading();

}  // namespace rhz::shm
