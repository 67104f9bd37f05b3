// The arithmetic of a reduction, element by element, on plain bytes.  Nothing here owns memory,
// waits or fails; kernels are pure functions for any thread.
//
// Every instruction set gives the same bits, so peers with different CPUs may compute the same
// chunk:
//   integers   wrap; an average truncates the wrapped sum / divisor toward zero
//   floats     one rounding per operation, ties to even, no contraction; subnormals are kept (the
//   thread must run with the
//              default MXCSR / FPCR); an average is one true division.  f16 and bf16 compute in f32
//              and round once per call
//   NaN        every NaN in a result is the canonical quiet one (half.h); min and max are NaN if an
//   input is zeros      -0 < +0 for min and max
#pragma once

#include <cstddef>
#include <cstdint>

#include "collectives/reduce/dtype.h"

namespace rhz::reduce {

// `count` elements.  Pointers need no alignment.  `out` may equal `a` or `b` exactly; otherwise it
// overlaps neither. `divisor` is read by finish and scale of an average only, and is at least 1
// there.
using Kernel = void (*)(std::byte* out, const std::byte* a, const std::byte* b, size_t count,
                        uint32_t divisor);

struct Kernels {
  Kernel combine = nullptr;  // out = a op b; op is the sum for an average
  Kernel finish = nullptr;   // combine, and for an average / divisor in the same pass: the last hop
  Kernel scale = nullptr;    // for an average out = a / divisor, else out = a; NaNs made canonical.
                             // b is not read
};

enum class Isa : uint8_t { scalar = 0, avx2 = 1, avx512 = 2 };  // scalar: what the compiler targets
inline constexpr Isa kIsas[] = {Isa::scalar, Isa::avx2, Isa::avx512};

bool supported(Isa isa);  // built for this architecture, and this CPU and kernel can run it
Isa best_isa();
const char* isa_name(Isa isa = best_isa());

// Asserts valid(dtype, redop) and supported(isa).  The reference lives as long as the program.
const Kernels& kernels_for(Dtype dtype, RedOp redop, Isa isa = best_isa());

}  // namespace rhz::reduce
