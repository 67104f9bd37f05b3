#include "tests/model/findings.h"

#include <cstdio>

namespace rhz::model {
namespace {

constexpr const char* kMarkNames[] = {
    "redo",
    "keep",
    "drop",
    "empty",
    "missing",
    "mixed-layouts",
    "root-dead",
    "root-dead-but-full",
    "learned",
    "resume",
    "final",
    "wave-in-later-epoch",
    "wave-by-evicted",
    "release-by-evicted",
    "release-while-sealed",
    "frame-held",
    "re-report",
    "abort",
    "abort-refused",
    "later-op-aborted",
    "abort-of-unbegun",
    "admit-round",
    "admit-over-open-ops",
    "joiner-lost-in-round",
    "nobody-joined",
    "several-entered",
    "some-entered",
    "given-up",
    "admit-aborted",
    "wave-by-watermark",
    "watermark-in-later-epoch",
};
static_assert(std::size(kMarkNames) == static_cast<std::size_t>(Mark::kCount));

}  // namespace

void print_coverage(const Findings& findings) {
  std::printf("  cover:");
  for (std::size_t i = 0; i < findings.marks.size(); i++) {
    std::printf(" %s=%zu", kMarkNames[i], findings.marks[i]);
  }
  std::printf("\n");
}

}  // namespace rhz::model
