#include "runtime/membership/memory_log.h"

#include "runtime/wire/codec.h"

namespace rhz {
namespace {

class MemoryLog final : public DecisionLog {
 public:
  Result<std::vector<LogEntry>> recover() override { return entries_; }

  Status append(const LogEntry& entry) override {
    if (Status refused = check_append(tip(), entry); !refused) return refused;
    return add(entry, bytes_);
  }

  Status cut(const LogEntry& snapshot) override {
    if (Status refused = check_cut(tip(), snapshot); !refused) return refused;
    std::vector<LogEntry> old = std::exchange(entries_, {});
    Status status = add(snapshot, 0);
    if (!status) entries_ = std::move(old);
    return status;
  }

  uint64_t bytes() const override { return bytes_; }

  LogTip tip() const override {
    return entries_.empty() ? LogTip{} : LogTip{entries_.back().term, entries_.back().index, {}};
  }

 private:
  Status add(const LogEntry& entry, uint64_t bytes_before) {
    const size_t size = wire::encode(entry).size();
    if (size == 0) return {Code::kArgument, "the entry is larger than a record may be"};
    entries_.push_back(entry);
    bytes_ = bytes_before + size;
    return Status::ok();
  }

  std::vector<LogEntry> entries_;
  uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<DecisionLog> make_memory_log() { return std::make_unique<MemoryLog>(); }

}  // namespace rhz
