// What the audience sees: a table that is redrawn on a terminal, lines in a pipe.
#pragma once

#include "api/tools/demo/script.h"

namespace rhz::demo {

class Table {
 public:
  Table(const Cast& cast, const Script& script, const DemoOptions& options, bool live);
  // Draws when it is time.
  void show();
  // Once more, whatever the time.
  void show_last();

 private:
  void draw() const;
  void say();
  std::string head() const;
  std::string trainer_row(const Trainer& trainer) const;
  std::string event_row(const Event& event) const;

  const Cast& cast_;
  const Script& script_;
  const DemoOptions& options_;
  const bool live_;
  uint64_t shown_ns_ = 0;
  size_t events_begun_ = 0, events_ended_ = 0;  // told so far
  std::string told_act_;
};

}  // namespace rhz::demo
