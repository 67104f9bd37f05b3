// Throughput of the reduction kernels out of cache-resident (256 KiB, a segment) and
// memory-resident (16 MiB) buffers. GB/s counts the bytes of the result; the memory traffic is
// three times that: two inputs read, one output written.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "collectives/reduce/kernels.h"

namespace {

using rhz::reduce::Dtype;
using rhz::reduce::Isa;
using rhz::reduce::RedOp;

void combine(benchmark::State& state, Dtype dtype, RedOp redop, Isa isa) {
  const auto bytes = static_cast<size_t>(state.range(0));
  const size_t count = bytes / rhz::reduce::size_of(dtype);
  // 0x3f3f is an ordinary number in every dtype: no subnormals, no NaNs.
  const std::vector<std::byte> a(bytes, std::byte{0x3f});
  const std::vector<std::byte> b(bytes, std::byte{0x3f});
  std::vector<std::byte> out(bytes);
  const rhz::reduce::Kernel kernel = rhz::reduce::kernels_for(dtype, redop, isa).combine;
  for (auto _ : state) {
    kernel(out.data(), a.data(), b.data(), count, 1);
    benchmark::ClobberMemory();
  }
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(bytes) * static_cast<double>(state.iterations()) / 1e9,
                         benchmark::Counter::kIsRate);
}

void register_all() {
  struct Case {
    Dtype dtype;
    RedOp redop;
  };
  constexpr Case kCases[] = {{Dtype::f32, RedOp::sum},
                             {Dtype::f32, RedOp::min},
                             {Dtype::f16, RedOp::sum},
                             {Dtype::bf16, RedOp::sum},
                             {Dtype::i32, RedOp::sum}};
  for (const Isa isa : rhz::reduce::kIsas) {
    if (!rhz::reduce::supported(isa)) continue;
    for (const auto& [dtype, redop] : kCases) {
      const std::string label = std::string("combine/") + rhz::reduce::name(dtype) + "/" +
                                rhz::reduce::name(redop) + "/" + rhz::reduce::isa_name(isa);
      benchmark::RegisterBenchmark(label.c_str(),
                                   [dtype = dtype, redop = redop, isa](benchmark::State& state) {
                                     combine(state, dtype, redop, isa);
                                   })
          ->Arg(256 << 10)
          ->Arg(16 << 20);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
