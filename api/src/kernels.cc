#include "api/src/kernels.h"

#if defined(RHZ_HAS_KERNELS)
extern "C" const unsigned char rhz_peer_allreduce_fatbin[];
#endif

namespace rhz::api {

const void* kernel_image() {
#if defined(RHZ_HAS_KERNELS)
  return rhz_peer_allreduce_fatbin;
#else
  return nullptr;
#endif
}

}  // namespace rhz::api
