// A trainer whose state outlives it: attaches to what its forerunner left, else restores a
// snapshot, else begins anew; then does as it is told.
//
//   actor kept coordinator= run= words=   → came attach= attach_text=…, restored restore= …, state
//   source= revision= right= join                                   → joined status= slot= train
//   steps= snapshot= parts= part=    → step revision= copied=, one line behind each, and trained
//   tear                                   → torn, inside an update
//   loiter                                 → loitering, between the end of an update and its commit
//   back revision=                         → restored …, state …
//   admit world=                           → admitted status=
//   show                                   → state source=view …, as the view has its revision
//   digest, spoil, attach_again, leave, bye
#pragma once

#include <memory>
#include <span>
#include <string>

#include "rhizome/rhizome.h"
#include "tests/integration/process.h"

namespace rhz::test {

class KeptTrainer {
 public:
  explicit KeptTrainer(const Line& options);
  ~KeptTrainer();
  // False when it shall end.
  bool obey(const Line& command);

 private:
  rhz_status attach();
  void begin_anew();
  void restore(uint64_t revision);
  void tell_state(const char* source);
  void fill(uint64_t revision, size_t words);
  bool right(uint64_t revision) const;
  void train(const Line& command);
  rhz_status admit(uint32_t world);

  const Line options_;
  rhz_comm* comm_ = nullptr;
  std::span<uint64_t> weights_, moments_;
  uint64_t revision_ = 0;
};

}  // namespace rhz::test
