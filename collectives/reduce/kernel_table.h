// What the translation unit of each instruction set hands to kernels.cc.  Private to this folder.
#pragma once

#include "collectives/reduce/kernels.h"

namespace rhz::reduce {

struct KernelTable {
  Kernels rows[kDtypes][kRedOps];  // by number - 1; null where the pair is not valid
};

namespace scalar {
extern const KernelTable kTable;
}
#if defined(__x86_64__)
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
#endif

}  // namespace rhz::reduce
