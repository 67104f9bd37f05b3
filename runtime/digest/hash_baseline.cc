#include "runtime/digest/hash_functions.h"

namespace rhz {
const HashKernels kBaselineHash{hash128, hash64};
}  // namespace rhz
