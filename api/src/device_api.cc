// rhizome_cuda.h.
#include "api/src/guard.h"
#include "rhizome/rhizome_cuda.h"
#include "runtime/device/device.h"

extern "C" RHZ_API rhz_status rhz_cuda_available(void) {
  return rhz::api::guard([] { return rhz::open_device().why_not; });
}
