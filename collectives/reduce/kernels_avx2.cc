// Kernels for x86-64 with AVX2 and F16C.
#if defined(__x86_64__)
#define RHZ_REDUCE_ISA avx2
#include "collectives/reduce/kernel_loops.h"
#endif
