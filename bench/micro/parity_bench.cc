// Coding rate of parity beside ISA-L's bare ec_encode_data over whole shards, same shapes, same
// memory.  GB/s counts the bytes of the data shards, as ISA-L's own benchmarks do.
#include <benchmark/benchmark.h>
#include <isa-l.h>

#include <string>
#include <vector>

#include "recovery/parity/coding_run.h"

namespace {

using namespace rhz;
using namespace rhz::recovery;

constexpr uint64_t kStep = 512 << 10;  // what a caller that yields to collectives would ask for

struct Stripe {
  Stripe(uint32_t k, uint32_t m, uint64_t shard_bytes)
      : code(ErasureCode::make(k, m).value()), bytes(shard_bytes) {
    for (uint32_t i = 0; i < k + m; ++i) memory.emplace_back(shard_bytes, std::byte(i + 1));
  }
  std::vector<ConstBytes> span(uint32_t first, uint32_t count) const {
    return {memory.begin() + first, memory.begin() + first + count};
  }
  std::vector<MutableBytes> writable(uint32_t first, uint32_t count) {
    return {memory.begin() + first, memory.begin() + first + count};
  }
  ErasureCode code;
  uint64_t bytes;
  std::vector<std::vector<std::byte>> memory;
};

void count_bytes(benchmark::State& state, uint64_t bytes) {
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(bytes) * static_cast<double>(state.iterations()) / 1e9,
                         benchmark::Counter::kIsRate);
}

void bare(benchmark::State& state, uint32_t k, uint32_t m, uint64_t shard_bytes) {
  Stripe stripe(k, m, shard_bytes);
  std::vector<uint8_t> matrix(size_t{k + m} * k), tables(size_t{32} * k * m);
  gf_gen_cauchy1_matrix(matrix.data(), static_cast<int>(k + m), static_cast<int>(k));
  ec_init_tables(static_cast<int>(k), static_cast<int>(m), matrix.data() + size_t{k} * k,
                 tables.data());
  std::vector<uint8_t*> all;
  for (auto& shard : stripe.memory) all.push_back(reinterpret_cast<uint8_t*>(shard.data()));
  for (auto _ : state) {
    ec_encode_data(static_cast<int>(shard_bytes), static_cast<int>(k), static_cast<int>(m),
                   tables.data(), all.data(), all.data() + k);
    benchmark::ClobberMemory();
  }
  count_bytes(state, k * shard_bytes);
}

void steps(CodingRun run) {
  while (!run.step(kStep)) continue;
  benchmark::ClobberMemory();
}

void encode(benchmark::State& state, uint32_t k, uint32_t m, uint64_t shard_bytes,
            Digested digested) {
  Stripe stripe(k, m, shard_bytes);
  for (auto _ : state)
    steps(
        {stripe.code.encoding(), shard_bytes, stripe.span(0, k), stripe.writable(k, m), digested});
  count_bytes(state, k * shard_bytes);
}

// Pieces alone, as a run codes them: what coding costs without its digests.
void pieces(benchmark::State& state, uint32_t k, uint32_t m, uint64_t shard_bytes) {
  Stripe stripe(k, m, shard_bytes);
  const Coding coding = stripe.code.encoding();
  const uint64_t piece = std::max<uint64_t>(4 << 10, (256 << 10) / (k + m) / 4096 * 4096);
  std::vector<const std::byte*> from(k);
  std::vector<std::byte*> to(m);
  for (auto _ : state) {
    for (uint64_t at = 0; at < shard_bytes; at += piece) {
      for (uint32_t i = 0; i < k; ++i) from[i] = stripe.memory[i].data() + at;
      for (uint32_t i = 0; i < m; ++i) to[i] = stripe.memory[k + i].data() + at;
      coding.apply(from, to, std::min(piece, shard_bytes - at));
    }
    benchmark::ClobberMemory();
  }
  count_bytes(state, k * shard_bytes);
}

// The first m data shards are lost.
void rebuild(benchmark::State& state, uint32_t k, uint32_t m, uint64_t shard_bytes) {
  Stripe stripe(k, m, shard_bytes);
  std::vector<uint32_t> from, lost;
  for (uint32_t i = 0; i < m; ++i) lost.push_back(i);
  for (uint32_t i = m; i < k + m; ++i) from.push_back(i);
  for (auto _ : state)
    steps({stripe.code.rebuilding(from, lost), shard_bytes, stripe.span(m, k),
           stripe.writable(0, m), Digested::outputs});
  count_bytes(state, k * shard_bytes);
}

void register_all() {
  constexpr uint64_t kShard = 4 << 20;
  for (const auto& [k, m] : {std::pair<uint32_t, uint32_t>{4, 2}, {4, 1}, {8, 3}}) {
    const std::string shape = std::to_string(k) + "+" + std::to_string(m);
    const auto add = [&](const std::string& name, auto run) {
      benchmark::RegisterBenchmark((name + "/" + shape).c_str(), run);
    };
    add("isal_bare", [k = k, m = m](benchmark::State& s) { bare(s, k, m, kShard); });
    add("coding", [k = k, m = m](benchmark::State& s) { pieces(s, k, m, kShard); });
    add("encode_digest_parity",
        [k = k, m = m](benchmark::State& s) { encode(s, k, m, kShard, Digested::outputs); });
    add("encode_digest_all", [k = k, m = m](benchmark::State& s) {
      encode(s, k, m, kShard, Digested::sources_and_outputs);
    });
    add("rebuild_digested", [k = k, m = m](benchmark::State& s) { rebuild(s, k, m, kShard); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
