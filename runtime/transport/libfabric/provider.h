// Which of libfabric's providers is used.
#pragma once

#include <rdma/fabric.h>

#include <string>

namespace rhz::ofi {

// Freed with fi_freeinfo(); null: none does what lanes need.  FI_PROVIDER, where the user sets it,
// counts before our own choice.  `eager_bytes`: what RxM, the layer under most providers, shall send
// eagerly, unless the user (FI_OFI_RXM_BUFFER_SIZE) or whoever used libfabric before has settled it.
fi_info* choose_provider(const std::string& host, size_t eager_bytes);

}  // namespace rhz::ofi
