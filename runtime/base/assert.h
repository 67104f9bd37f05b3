// RHZ_ASSERT: for our own bugs, on in release builds.  Bytes from a peer and arguments from a user get a Status instead.
// Invariants of docs/protocol.md are asserted by number: RHZ_ASSERT("D2", ...).
#pragma once

namespace rhz {

// Called with the text of a failed assertion before the process aborts (the flight recorder dumps itself here).
using AssertHook = void (*)(void* context);
// Per thread: an assertion belongs to the driver that runs on the thread it fails on.
void set_assert_hook(AssertHook hook, void* context);

[[noreturn]] void assert_failed(const char* invariant, const char* condition, const char* file,
                                int line);

}  // namespace rhz

#if defined(RHZ_CANARY)
namespace rhz {
// A bug is planted, and an oracle of the simulator has to find it, not the cores themselves.
bool assertions_pass();
}  // namespace rhz
#define RHZ_ASSERT(invariant, condition)          \
  ((condition) || ::rhz::assertions_pass() ? void(0) \
                                           : ::rhz::assert_failed(invariant, #condition, __FILE__, __LINE__))
#else
#define RHZ_ASSERT(invariant, condition) \
  ((condition) ? void(0) : ::rhz::assert_failed(invariant, #condition, __FILE__, __LINE__))
#endif
