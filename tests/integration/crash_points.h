// Named points at which a rank dies by SIGKILL: the calls by which its bytes leave or come. The
// actor's own functions stand in front of the C library's for librhizome as well.
#pragma once

#include <cstdint>
#include <string>

namespace rhz::test {

// In the n-th such call from now on, of whatever thread: "before" it, "half" (a part of what is to
// be sent has left) or "after" it.
void arm_crash(uint64_t nth, const std::string& how);
void disarm_crash();

}  // namespace rhz::test
