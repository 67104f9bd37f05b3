#include "api/src/shard_driver.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#include "api/src/closed.h"
#include "runtime/base/out_of_memory.h"
#include "runtime/base/thread.h"

namespace rhz {
namespace {

constexpr uint64_t kShardPiece = uint64_t{1} << 20;  // between two looks at who goes first
// As the snapshotter yields: while collectives are open, a piece is followed by a pause of at most
// so many times its own time.
constexpr int kShardMostYield = 4;
constexpr Duration kShardLeastYield = milliseconds(1);
constexpr Duration kShardNap = microseconds(100);
constexpr Duration kAuditPause = std::chrono::seconds(600);  // between two audits of what is held
constexpr Duration kReadAgain = milliseconds(1);  // of a snapshot that is still being copied

}  // namespace

ShardDriver::ShardDriver(PeerId self, std::string run_id, Surroundings around)
    : self_(self),
      around_(std::move(around)),
      links_(loop_, std::move(run_id),
             [this](uint64_t job, PeerId vault, const recovery::VaultReply& reply) {
               keeper_.reply(job, vault, reply);
               carry_out();
             }),
      keeper_(self, around_.next_source) {}

// ---- other threads

void ShardDriver::news(ShardNews news) {
  std::lock_guard lock(mutex_);
  if (stop_) return;
  if (auto* view = std::get_if<View>(&news)) {
    in_run_ = !view->members.empty();
    inbox_.view = std::move(*view);
  } else if (auto* vaults = std::get_if<VaultsMessage>(&news)) {
    if (vaults->complete) living_.clear();
    for (const VaultInfo& vault : vaults->vaults)
      if (std::find(living_.begin(), living_.end(), vault.holder.vault) == living_.end())
        living_.push_back(vault.holder.vault);
    inbox_.vaults = std::move(*vaults);
  } else if (auto* record = std::get_if<GenerationRecord>(&news)) {
    GenerationRecord& newest = generations_[record->stage];
    if (newest.revision != 0 && newest.revision < record->revision)
      before_[record->stage] = std::move(newest);
    newest = *record;
    inbox_.generations[record->stage] = std::move(*record);
    start_thread();
  } else if (auto* refusal = std::get_if<ProposalRefusedMessage>(&news)) {
    inbox_.refusals[refusal->stage] = std::move(*refusal);
  }
  if (thread_.joinable()) loop_.wake();
}

// Under mutex_.
void ShardDriver::start_thread() {
  if (!thread_.joinable() && !stop_) thread_ = rhz::start_thread("rhz-shards", [this] { run(); });
}

Status ShardDriver::protect(Request request) {
  std::lock_guard lock(mutex_);
  if (stop_) return over_;
  if (!in_run_) return {Code::kState, "not a member yet: call rhz_comm_join first"};
  if (working_)
    return {Code::kState, "a revision is still being protected: call rhz_protect_fence first"};
  working_ = true;
  request_ = std::move(request);
  start_thread();
  loop_.wake();
  return Status::ok();
}

Status ShardDriver::wait(Duration timeout) {
  waiting_.fetch_add(1, std::memory_order_relaxed);
  std::unique_lock lock(mutex_);
  const auto over = [&] { return !working_; };
  bool ended = true;
  if (timeout == Duration::zero())
    changed_.wait(lock, over);
  else
    ended = changed_.wait_for(lock, timeout, over);
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return ended ? outcome_ : Status(Code::kPending, "the revision is still being protected");
}

std::optional<ShardDriver::Known> ShardDriver::known(uint32_t stage) {
  std::lock_guard lock(mutex_);
  const auto at = generations_.find(stage);
  if (at == generations_.end()) return {};
  Known known{at->second, recovery::standing(at->second, living_), 0, {}};
  if (const auto before = before_.find(stage); before != before_.end()) {
    known.before = before->second.revision;
    known.standing_before = recovery::standing(before->second, living_);
  }
  return known;
}

std::pair<std::vector<GenerationRecord>, std::vector<PeerId>> ShardDriver::seen() {
  std::lock_guard lock(mutex_);
  std::vector<GenerationRecord> all;
  for (const auto& [stage, record] : generations_) {
    if (const auto before = before_.find(stage); before != before_.end())
      all.push_back(before->second);
    all.push_back(record);
  }
  return {std::move(all), living_};
}

void ShardDriver::stop() {
  std::jthread thread;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    thread = std::move(thread_);
  }
  loop_.wake();
  if (thread.joinable()) thread.join();
  protected_now({Code::kClosed, "the communicator was closed before the revision was protected"});
}

// ---- the thread

void ShardDriver::protected_now(const Status& status) {
  std::lock_guard lock(mutex_);
  if (!std::exchange(working_, false)) return;
  outcome_ = status;
  changed_.notify_all();
}

void ShardDriver::take_news() {
  Inbox inbox;
  {
    std::lock_guard lock(mutex_);
    inbox = std::exchange(inbox_, {});
  }
  if (inbox.vaults) {
    keeper_.vaults(*inbox.vaults);
    carry_out();
    links_.know(inbox.vaults->vaults, inbox.vaults->complete);
  }
  for (const auto& [stage, record] : inbox.generations) {
    keeper_.generation(record);
    carry_out();
  }
  // Behind what an older keeper had logged: a new one must know of that.
  if (inbox.view) {
    keeper_.view(*inbox.view);
    carry_out();
  }
  for (const auto& [stage, refusal] : inbox.refusals) {
    keeper_.refused(refusal);
    carry_out();
  }
}

// What the program wants protected.  Returns when it wants to be called next.
Time ShardDriver::begin() {
  std::optional<Request> request;
  {
    std::lock_guard lock(mutex_);
    request = std::exchange(request_, std::nullopt);
  }
  if (!request) return kNever;
  // Whoever does not keep the stage reads nothing.
  if (!keeper_.keeps(request->slots)) {
    protected_now(Status::ok());
    return kNever;
  }
  piece_began_ = loop_.now();
  Result<Source> source = request->read([this] { return pace(); });
  if (!source && source.status().code() == Code::kPending) {
    std::lock_guard lock(mutex_);
    request_ = std::move(request);
    return loop_.now() + kReadAgain;
  }
  if (!source) {
    protected_now(source.status());
    return kNever;
  }
  recovery::Protector::Options options;
  options.data_shards = request->data_shards;
  options.parity_shards = request->parity_shards;
  keeper_.protect({request->stage, source.value().revision, source.value().root,
                   source.value().state, request->slots, options});
  carry_out();
  return kNever;
}

// False: there was nothing.
bool ShardDriver::carry_out() {
  auto actions = keeper_.take_actions();
  for (recovery::KeeperAction& action : actions) {
    if (auto* send = std::get_if<recovery::KeeperSend>(&action)) {
      links_.send(send->job, send->send);
    } else if (auto* propose = std::get_if<recovery::KeeperPropose>(&action)) {
      around_.propose(propose->epoch, std::move(propose->record));
    } else if (const auto* done = std::get_if<recovery::KeeperProtected>(&action)) {
      around_.note(LogLevel::kInfo, "event=protected stage=" + std::to_string(done->stage) +
                                        " revision=" + std::to_string(done->revision) + " text=\"" +
                                        done->status.text() + "\"");
      protected_now(done->status);
    } else if (const auto* repaired = std::get_if<recovery::KeeperRepaired>(&action)) {
      // What somebody else goes on with, or nobody any more, is no news for the operator.
      const Code code = repaired->status.code();
      const bool fine = code == Code::kOk || code == Code::kClosed || code == Code::kState;
      around_.note(fine ? LogLevel::kInfo : LogLevel::kWarn,
                   "event=reprotected stage=" + std::to_string(repaired->stage) +
                       " revision=" + std::to_string(repaired->revision) +
                       " placement=" + std::to_string(repaired->placement) + " text=\"" +
                       repaired->status.text() + "\"");
    }
  }
  return !actions.empty();
}

// Lets collectives go first, for a while.  False: all is to end.
bool ShardDriver::pace() {
  const Time now = loop_.now();
  const Time until = now + std::max(kShardLeastYield, kShardMostYield * (now - piece_began_));
  while (!stop_ && waiting_.load(std::memory_order_relaxed) == 0 && around_.busy() &&
         loop_.now() < until)
    loop_.run_until(loop_.now() + kShardNap);
  piece_began_ = loop_.now();
  return !stop_;
}

// False: there is nothing to do before somebody answers.
bool ShardDriver::step() {
  piece_began_ = loop_.now();
  keeper_.step(kShardPiece);
  return carry_out() || keeper_.computing();
}

void ShardDriver::run() {
  const sched_param none{};
  ::pthread_setschedparam(::pthread_self(), SCHED_BATCH, &none);  // as the snapshotter
  if (had_memory([this] { serve(); })) return;
  const Status shortage(Code::kMemory, "");
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    over_ = shortage;
  }
  protected_now(shortage);
}

void ShardDriver::serve() {
  Time audit_at = loop_.now() + kAuditPause;
  while (!stop_) {
    take_news();
    if (loop_.now() >= audit_at) {
      audit_at = loop_.now() + kAuditPause;
      keeper_.audit();
    }
    const Time again = begin();
    const bool worked = step();
    const Time next = links_.tick(loop_.now());
    if (worked) {
      loop_.poll();
      pace();
    } else {
      loop_.run_until(std::min({next, again, audit_at}));
    }
  }
  keeper_.cancel(closed_status());
  carry_out();
}

}  // namespace rhz
