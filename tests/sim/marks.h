// Moments in the life of a peer at which it may be made to die: right before or behind something that others
// depend on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rhz::sim {

enum class Mark : uint8_t {
  kSealing,    // a view has come that seals the epoch, and was not looked at
  kReporting,  // the report is made, and not sent
  kReported,   // the report has left
  kResolving,  // the resolution has come, and was not looked at
  kInstalled,  // a new epoch was installed
  kDoneDue,    // the first DONE is made, and not sent
  kDoneSent,   // … and has left, to one of those who wait for it
  kReturned,   // an op has returned
  kCount,
};
inline constexpr size_t kMarks = static_cast<size_t>(Mark::kCount);
inline constexpr const char* kMarkNames[kMarks] = {"sealing",   "reporting", "reported",  "resolving",
                                                   "installed", "done-due",  "done-sent", "returned"};

}  // namespace rhz::sim
