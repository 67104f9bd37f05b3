// What the CPU sees of shared tensors that are a device's: their bytes in memory of the host, which stands in for them wherever members
// and joiners digest, send and receive.  Fetched when members stand at an admit op for somebody, put back when a joiner has all of them.
#pragma once

#include <vector>

#include "recovery/state/device_tensors.h"

namespace rhz::recovery {

class HostMirror {
 public:
  HostMirror() = default;
  HostMirror(const HostMirror&) = delete;
  HostMirror& operator=(const HostMirror&) = delete;
  ~HostMirror();

  // Takes the place of those of the state's shared tensors that are a device's, before the peer joins; outlives the state's use.  No page is
  // made yet.  kMemory: there are not even addresses.
  [[nodiscard]] Status stand_in(State& state);
  bool any() const { return !pairs_.empty(); }

  // Of all these tensors, whole, as in device_tensors.h.  One thread at a time.
  [[nodiscard]] Status fetch(const NextPiece& next) { return carry(next, true); }
  [[nodiscard]] Status put(const NextPiece& next) { return carry(next, false); }
  // Nobody looks at the bytes before the next fetch: the system gets the pages back.
  void forget();

 private:
  struct Pair {
    Tensor device;
    std::byte* host = nullptr;
  };
  Status carry(const NextPiece& next, bool to_host);

  std::vector<Pair> pairs_;
};

}  // namespace rhz::recovery
