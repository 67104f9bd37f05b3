// Whether the system has the files that loops take.
#pragma once

#include <cstddef>

#include "runtime/base/status.h"

namespace rhz {

// kIo: it has none left for so many loops.  To be asked before one is made, which cannot fail: a
// process may be at its limit through no fault of ours.  Any thread.
[[nodiscard]] Status room_for_loops(size_t loops);

}  // namespace rhz
