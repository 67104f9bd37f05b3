#if defined(__x86_64__)
#include "runtime/digest/hash_functions.h"

namespace rhz {
const HashKernels kAvx2Hash{hash128, hash64};
}  // namespace rhz
#endif
