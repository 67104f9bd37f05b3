#include "tests/integration/values.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rhz::test {
namespace {

constexpr uint64_t kBlock = 64;  // elements; smaller than any chunk of these tests

uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

struct Contributors {
  std::vector<uint32_t> slots;
  rhz_status status = RHZ_OK;
  friend bool operator==(const Contributors& a, const Contributors& b) {
    return a.slots == b.slots && a.status == b.status;
  }
};

Contributors contributors_of(rhz_op* op, uint64_t element) {
  Contributors c;
  c.slots.resize(64);
  auto count = static_cast<uint32_t>(c.slots.size());
  c.status = rhz_op_contributors(op, element, c.slots.data(), &count);
  c.slots.resize(c.status == RHZ_OK ? count : 0);
  return c;
}

float weight(const std::vector<uint32_t>& slots, bool average) {
  float sum = 0;
  for (uint32_t slot : slots) sum += static_cast<float>(1u << slot);
  return average ? sum / static_cast<float>(slots.size()) : sum;
}

std::string text_of(const Contributors& c) {
  std::string text;
  for (uint32_t slot : c.slots) text += (text.empty() ? "" : ",") + std::to_string(slot);
  return text.empty() ? "-" : text;
}

void note_set(Verdict& verdict, const Contributors& c) {
  if (c.status != RHZ_OK && verdict.problem.empty()) verdict.problem = rhz_last_error();
  const std::string text = text_of(c);
  const size_t bar = verdict.contributors.rfind('|');
  const bool first = verdict.contributors.empty();
  const std::string last =
      bar == std::string::npos ? verdict.contributors : verdict.contributors.substr(bar + 1);
  if (first || last != text) verdict.contributors += (first ? "" : "|") + text;
}

}  // namespace

void fill_input(std::span<float> input, uint64_t op, uint32_t slot) {
  const auto factor = static_cast<float>(1u << slot);
  for (uint64_t i = 0; i < input.size(); ++i)
    input[i] = factor * static_cast<float>(pattern(op, i));
}

void for_each_stretch(rhz_op* op, uint64_t begin, uint64_t end, Verdict& verdict,
                      const CheckStretch& check) {
  for (uint64_t at = begin; at < end; at += kBlock) {
    const uint64_t next = std::min(at + kBlock, end);
    // Equal at both ends of a block that is smaller than a chunk: equal in all of it.
    const Contributors first = contributors_of(op, at), last = contributors_of(op, next - 1);
    note_set(verdict, first);
    note_set(verdict, last);
    if (first == last) {
      check(at, next, first.slots);
    } else {
      for (uint64_t i = at; i < next; ++i) check(i, i + 1, contributors_of(op, i).slots);
    }
  }
}

Verdict check_result(rhz_op* op, std::span<const float> result, uint64_t id, bool average) {
  Verdict verdict;
  for_each_stretch(op, 0, result.size(), verdict, [&](uint64_t begin, uint64_t end, auto& slots) {
    const float factor = weight(slots, average);
    for (uint64_t i = begin; i < end; ++i) {
      const float expected = factor * static_cast<float>(pattern(id, i));
      const bool right =
          average ? std::fabs(result[i] - expected) <= 1e-6f * expected : result[i] == expected;
      if (!right && verdict.wrong++ == 0) verdict.first_wrong = i;
    }
  });
  return verdict;
}

uint64_t count_changed(std::span<const float> input, uint64_t op, uint32_t slot) {
  const auto factor = static_cast<float>(1u << slot);
  uint64_t changed = 0;
  for (uint64_t i = 0; i < input.size(); ++i)
    changed += input[i] != factor * static_cast<float>(pattern(op, i));
  return changed;
}

uint64_t digest_of(std::span<const float> values) {
  uint64_t digest = 0xcbf29ce484222325u;
  for (const float value : values) {
    uint32_t word;
    std::memcpy(&word, &value, sizeof word);
    digest = (digest ^ word) * 0x100000001b3u;
  }
  return mix(digest);
}

void fill_state(std::span<uint64_t> state, uint64_t revision) {
  const uint64_t seed = mix(revision + 1);
  for (uint64_t i = 0; i < state.size(); ++i) state[i] = (i + 1) * seed;
}

bool state_is(std::span<const uint64_t> state, uint64_t revision) {
  const uint64_t seed = mix(revision + 1);
  for (uint64_t i = 0; i < state.size(); ++i)
    if (state[i] != (i + 1) * seed) return false;
  return true;
}

}  // namespace rhz::test
