#include "collectives/reduce/kernels.h"

#include "collectives/reduce/kernel_table.h"
#include "runtime/base/assert.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace rhz::reduce {
namespace {

#if defined(__x86_64__)
// __builtin_cpu_supports also asks whether the operating system saves the registers; not every
// compiler knows "f16c" there, and F16C needs no more state than AVX2.
bool has_f16c() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

bool has_avx2() { return __builtin_cpu_supports("avx2") != 0 && has_f16c(); }

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0;
}
#endif

const KernelTable& table_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) return avx2::kTable;
  if (isa == Isa::avx512) return avx512::kTable;
#endif
  RHZ_ASSERT("", isa == Isa::scalar);
  return scalar::kTable;
}

}  // namespace

bool supported(Isa isa) {
#if defined(__x86_64__)
  static const bool avx2_here = has_avx2();
  static const bool avx512_here = has_avx512();
  if (isa == Isa::avx2) return avx2_here;
  if (isa == Isa::avx512) return avx512_here;
#endif
  return isa == Isa::scalar;
}

Isa best_isa() {
  if (supported(Isa::avx512)) return Isa::avx512;
  return supported(Isa::avx2) ? Isa::avx2 : Isa::scalar;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return "scalar";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

const Kernels& kernels_for(Dtype dtype, RedOp redop, Isa isa) {
  RHZ_ASSERT("", valid(dtype, redop));
  RHZ_ASSERT("", supported(isa));
  return table_of(isa).rows[static_cast<size_t>(dtype) - 1][static_cast<size_t>(redop) - 1];
}

}  // namespace rhz::reduce
