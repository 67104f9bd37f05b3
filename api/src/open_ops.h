// The ops of a program that are not final yet, whatever the cores know of them: when the loop breaks in the middle of a step, each of
// these ends all the same, and without memory.
#pragma once

#include "collectives/op.h"

namespace rhz {

class OpenOps;

// What the cores are given of such an op.  In one list at most; the loop's owner adds it, and its end takes it out.
class OpenOp : public OpCompletion {
 public:
  ~OpenOp() override { leave(); }
  void released(const OpOutcome& outcome) final {
    released_ = true;
    when_released(outcome);
  }
  void finalised(const Status& status) final {
    leave();
    when_final(status);
  }

 protected:
  virtual void when_released(const OpOutcome& outcome) = 0;
  virtual void when_final(const Status& status) = 0;

 private:
  friend class OpenOps;
  void leave();

  OpenOp* next_ = nullptr;
  OpenOp** link_ = nullptr;  // what points to this one
  bool released_ = false;
};

class OpenOps {
 public:
  void add(OpenOp& op);
  // Those that were released already keep what they got.
  void end_all(const Status& status);

 private:
  OpenOp* first_ = nullptr;
};

inline void OpenOp::leave() {
  if (!link_) return;
  *link_ = next_;
  if (next_) next_->link_ = link_;
  link_ = nullptr;
}

inline void OpenOps::add(OpenOp& op) {
  op.next_ = first_;
  op.link_ = &first_;
  if (first_) first_->link_ = &op.next_;
  first_ = &op;
}

inline void OpenOps::end_all(const Status& status) {
  OpOutcome outcome;
  outcome.status = status;
  while (OpenOp* op = first_) {
    if (!op->released_) op->released(outcome);
    op->finalised(status);
  }
}

}  // namespace rhz
