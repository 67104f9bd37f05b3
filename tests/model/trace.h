// The way to a violation, one step and the state after it per two lines.
#pragma once

#include "tests/model/config.h"
#include "tests/model/explore.h"
#include "tests/model/visited.h"

namespace rhz::model {

void print_trace(const Config& config, const Outcome& outcome, const Visited& visited);

}  // namespace rhz::model
