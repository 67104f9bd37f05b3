// From rhz_coordinator_params and the environment to the options of a CoordinatorDriver; the CLI takes the same way.
#pragma once

#include "api/src/coordinator_driver.h"
#include "rhizome/rhizome.h"

namespace rhz::api {

[[nodiscard]] Status coordinator_options(const rhz_coordinator_params& params,
                                         CoordinatorOptions& out);

}  // namespace rhz::api
