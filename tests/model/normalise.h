// Removes from a state what can have no further effect, so that equivalent states coincide.
#pragma once

#include "tests/model/config.h"
#include "tests/model/state.h"

namespace rhz::model {

void normalise(const Config& config, State& state);

}  // namespace rhz::model
