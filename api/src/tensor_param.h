// rhz_tensor, as registered or asked for.
#pragma once

#include "api/src/abi.h"
#include "recovery/state/state.h"

namespace rhz::api {

// Everything but whether there is data.
[[nodiscard]] Status read_tensor(const rhz_tensor* tensor, recovery::Tensor& out);

}  // namespace rhz::api
