// How UCX is configured here.
#pragma once

#include <ucp/api/ucp.h>

namespace rhz::ucx {

// What the user sets in the environment (UCX_…) counts before our own choice.
ucs_status_t make_context(ucp_context_h* context);

}  // namespace rhz::ucx
