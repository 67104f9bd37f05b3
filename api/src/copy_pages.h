// Makes the pages of a copy for newcomers on a thread of its own, and lets collectives go first.
#pragma once

#include <atomic>
#include <functional>

#include "api/src/background.h"
#include "recovery/sync/page_maker.h"

namespace rhz {

class CopyPages final : public recovery::PageMaker {
 public:
  // `busy`: whether collectives are open now; from any thread.
  explicit CopyPages(std::function<bool()> busy);

  void begin(std::byte* memory, uint64_t bytes) override;
  bool ready() const override { return !thread_.running(); }
  void end() override;

 private:
  std::atomic<bool> enough_{false};
  Background thread_;
};

}  // namespace rhz
