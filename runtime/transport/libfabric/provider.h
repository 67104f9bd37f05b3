// Which of libfabric's providers is used.
#pragma once

#include <rdma/fabric.h>

#include <string>

namespace rhz::ofi {

// Freed with fi_freeinfo(); null: none does what lanes need.  FI_PROVIDER, where the user sets it,
// counts before our own choice.
fi_info* choose_provider(const std::string& host);

}  // namespace rhz::ofi
