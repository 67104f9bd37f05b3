// rhz_tensor, as registered or asked for.
#pragma once

#include <vector>

#include "api/src/abi.h"
#include "recovery/state/state.h"

namespace rhz::api {

// Everything but whether there is data.
[[nodiscard]] Status read_tensor(const rhz_tensor* tensor, recovery::Tensor& out);

// An array of them, of at least one, all with data.  `name`: of the array, for texts.
[[nodiscard]] Status read_tensors(const rhz_tensor* tensors, uint32_t count, const char* name,
                                  std::vector<recovery::Tensor>& out);

}  // namespace rhz::api
