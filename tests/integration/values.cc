#include "tests/integration/values.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rhz::test {
namespace {

constexpr uint64_t kBlock = 64;  // elements; smaller than any chunk of these tests

float pattern(uint64_t op, uint64_t i) {
  return static_cast<float>(((i * 2654435761u + op * 40503u) >> 7) % 61 + 1);
}

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

float weight(const Contributors& c, bool average) {
  float sum = 0;
  for (uint32_t slot : c.slots) sum += static_cast<float>(1u << slot);
  return average ? sum / static_cast<float>(c.slots.size()) : sum;
}

std::string text_of(const Contributors& c) {
  std::string text;
  for (uint32_t slot : c.slots) {
    if (!text.empty()) text += ',';
    text += std::to_string(slot);
  }
  return text;
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

void check_range(Verdict& verdict, std::span<const float> result, uint64_t begin, uint64_t end,
                 uint64_t id, float factor, bool average) {
  for (uint64_t i = begin; i < end; ++i) {
    const float expected = factor * pattern(id, i);
    const bool right =
        average ? std::fabs(result[i] - expected) <= 1e-6f * expected : result[i] == expected;
    if (!right && verdict.wrong++ == 0) verdict.first_wrong = i;
  }
}

}  // namespace

void fill_input(std::span<float> input, uint64_t op, uint32_t slot) {
  const auto factor = static_cast<float>(1u << slot);
  for (uint64_t i = 0; i < input.size(); ++i) input[i] = factor * pattern(op, i);
}

Verdict check_result(rhz_op* op, std::span<const float> result, uint64_t id, bool average) {
  Verdict verdict;
  if (result.empty()) return verdict;
  Contributors begin = contributors_of(op, 0);
  note_set(verdict, begin);
  for (uint64_t at = 0; at < result.size(); at += kBlock) {
    const uint64_t end = std::min<uint64_t>(at + kBlock, result.size());
    // Equal at both ends of a block that is smaller than a chunk: equal in all of it.
    const Contributors last = contributors_of(op, end - 1);
    if (begin == last) {
      check_range(verdict, result, at, end, id, weight(begin, average), average);
    } else {
      for (uint64_t i = at; i < end; ++i)
        check_range(verdict, result, i, i + 1, id, weight(contributors_of(op, i), average),
                    average);
      note_set(verdict, last);
    }
    begin = end < result.size() ? contributors_of(op, end) : last;
    if (!(begin == last)) note_set(verdict, begin);
  }
  return verdict;
}

uint64_t count_changed(std::span<const float> input, uint64_t op, uint32_t slot) {
  const auto factor = static_cast<float>(1u << slot);
  uint64_t changed = 0;
  for (uint64_t i = 0; i < input.size(); ++i) changed += input[i] != factor * pattern(op, i);
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
