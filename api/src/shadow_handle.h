// What is behind rhz_shadow: the state, its rule, and the shadow that joins them.  One thread at a
// time, as the caller promises.
#pragma once

#include <memory>
#include <optional>

#include "recovery/optimizer/shadow.h"
#include "recovery/optimizer/update_rule.h"
#include "recovery/state/state.h"
#include "rhizome/rhizome.h"

struct rhz_shadow {
  rhz::recovery::State state;
  std::unique_ptr<rhz::recovery::UpdateRule> rule;
  std::optional<rhz::recovery::Shadow> shadow;
};
