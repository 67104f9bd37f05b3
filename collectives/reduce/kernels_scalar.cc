// Kernels for any CPU the compiler targets by default (on x86-64: SSE2).
#define RHZ_REDUCE_ISA scalar
#include "collectives/reduce/kernel_loops.h"
