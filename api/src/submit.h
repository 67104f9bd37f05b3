// The last step of every function that submits something.
#pragma once

#include <memory>

#include "api/src/handles.h"
#include "api/src/op_handle.h"

namespace rhz::api {

// Makes the handle and submits, in a group at its end.  `stream`: whose order the op keeps; null: of none.  The caller of the API owns
// *out_op.
[[nodiscard]] Status submit(const Comm& comm, AnySpec spec, void* stream, rhz_op** out_op);

}  // namespace rhz::api
