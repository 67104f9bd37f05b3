// Kernels for x86-64 with AVX-512 F, BW, DQ and VL.
#if defined(__x86_64__)
#define RHZ_REDUCE_ISA avx512
#include "collectives/reduce/kernel_loops.h"
#endif
