// Loads the module of a library.
#pragma once

#include <memory>
#include <string>

#include "runtime/base/status.h"
#include "runtime/transport/fabric/fabric.h"
#include "runtime/transport/fabric/fabric_options.h"

namespace rhz::fabric {

// `folder` as FabricOptions::modules, `host` the address to be reached at, or empty.  What was
// loaded stays until the process ends.
[[nodiscard]] Result<std::unique_ptr<Fabric>> load(FabricLibrary library, std::string folder,
                                                   const std::string& host);

}  // namespace rhz::fabric
