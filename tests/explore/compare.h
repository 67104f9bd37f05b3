// The ways in which a run may end, as the cores and the model of tests/model find them.
#pragma once

#include <set>
#include <string>

#include "runtime/base/status.h"
#include "tests/explore/options.h"

namespace rhz::explore {

// The model has no mode fail, and at most two chunks.
bool model_knows(const Options& options);
// What the model reaches in the same configuration; `program`: the path of rebuild_model.
Result<std::set<std::string>> outcomes_of_model(const std::string& program, const Options& options);

}  // namespace rhz::explore
