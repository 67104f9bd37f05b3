// rhz_group_begin … rhz_group_end: what a thread submits between them is kept, and goes in one
// taking of the loop.
#pragma once

#include "api/src/fuse.h"

namespace rhz::api {

// Whether the calling thread is in a group.
bool in_group();
// Until its end.  kState when the group is full; then the op is still the caller's.
[[nodiscard]] Status keep_in_group(Kept kept);

}  // namespace rhz::api
