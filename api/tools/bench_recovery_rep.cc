#include "api/tools/bench_recovery_rep.h"

#include <signal.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "api/tools/bench_rank.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kStartNs = 60 * kSecond, kEndNs = 90 * kSecond;
constexpr uint64_t kThawNs =
    15 * kSecond;                        // for a thawed victim to learn that it is out, and to end
constexpr uint64_t kSmallOp = 1u << 20;  // such ops are over before the fault can be aimed at one
constexpr uint32_t kNoOpHit = UINT32_MAX;

double ms_since(uint64_t from_ns, uint64_t to_ns) {
  return (static_cast<double>(to_ns) - static_cast<double>(from_ns)) / 1e6;
}

void wait_until(uint64_t ns) {
  const timespec at{static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) continue;
}

}  // namespace

RecoveryRep::RecoveryRep(const RecoveryOptions& options, Prng& random, std::string log)
    : options_(options), random_(random), log_(std::move(log)), ranks_(options.ranks) {
  before_ = options.bytes < kSmallOp ? 50 : 4;
  after_ = options.bytes < kSmallOp ? 3000 : 6;
  victim_ = static_cast<uint32_t>(random_.below(options.ranks));
}

void RecoveryRep::said(uint32_t rank, std::string_view line) {
  RankLog& log = ranks_[rank];
  if (line.starts_with("@op ")) {
    OpStamp op;
    op.op = static_cast<uint32_t>(whole(line, "op"));
    op.begin_ns = whole(line, "begin_ns");
    op.end_ns = whole(line, "end_ns");
    op.rebuilds = static_cast<uint32_t>(whole(line, "rebuilds"));
    op.held = whole(line, "held");
    op.redone = whole(line, "redone");
    op.wrong = whole(line, "wrong");
    op.digest = field(line, "digest");
    log.ops.push_back(std::move(op));
  } else if (line.starts_with("@begin ")) {
    log.begun_ns = whole(line, "ns");
  } else if (line.starts_with("@fail ")) {
    log.fail = field(line, "text");
    log.hang = whole(line, "status") == RHZ_PENDING;
    log.evicted = whole(line, "status") == RHZ_ERR_EVICTED;
  } else if (field(line, "event") == "seal") {
    log.seals_ns.push_back(whole(line, "t_us") * 1000);
  } else if (field(line, "event") == "install") {
    log.installs_ns.push_back(whole(line, "t_us") * 1000);
  } else if (!line.starts_with("@") && !line.starts_with("rhizome: t_us=")) {
    std::fprintf(stderr, "[rank %u] %.*s\n", rank, static_cast<int>(line.size()), line.data());
  }
}

void RecoveryRep::pump(uint64_t until_ns, const std::function<bool()>& wanted) {
  world_->pump(
      until_ns, [this](uint32_t rank, std::string_view line) { said(rank, line); }, wanted);
}

bool RecoveryRep::survivors_ended() const {
  for (uint32_t r = 0; r < options_.ranks; ++r)
    if (r != victim_ && world_->alive(r)) return false;
  return true;
}

// False when some rank failed, or none gets there.
bool RecoveryRep::reach_the_op() {
  auto all_begun = [&] {
    return std::all_of(ranks_.begin(), ranks_.end(), [](const RankLog& r) { return r.begun_ns; });
  };
  auto any_failed = [&] {
    return std::any_of(ranks_.begin(), ranks_.end(),
                       [](const RankLog& r) { return !r.fail.empty(); });
  };
  pump(monotonic_ns() + kStartNs, [&] { return all_begun() || any_failed(); });
  return all_begun() && !any_failed();
}

// Of an op before the fault: the slowest rank's time, at the median.
uint64_t RecoveryRep::usual_op_ns() const {
  std::map<uint32_t, double> slowest;
  for (const RankLog& rank : ranks_)
    for (const OpStamp& op : rank.ops)
      if (op.op > 0 && op.op < before_)
        slowest[op.op] = std::max(slowest[op.op], static_cast<double>(op.end_ns - op.begin_ns));
  std::vector<double> times;
  for (const auto& [op, ns] : slowest) times.push_back(ns);
  return static_cast<uint64_t>(percentile(times, 50));
}

void RecoveryRep::strike() {
  double moment = random_.unit();
  if (options_.kill_phase != "any") moment /= 2;
  if (options_.kill_phase == "second-half") moment += 0.5;
  uint64_t begun = 0;
  for (const RankLog& rank : ranks_) begun = std::max(begun, rank.begun_ns);
  wait_until(begun + static_cast<uint64_t>(moment * static_cast<double>(usual_op_ns())));
  fault_ns_ = monotonic_ns();
  world_->signal(victim_, options_.fault == "stop" ? SIGSTOP : SIGKILL);
}

void RecoveryRep::wait_for_the_end() {
  const uint64_t deadline = fault_ns_ + kEndNs;
  if (options_.fault == "stop" && options_.stop_ms > 0) {
    pump(fault_ns_ + uint64_t{options_.stop_ms} * 1'000'000, [] { return false; });
    world_->signal(victim_, SIGCONT);
  }
  pump(deadline, [&] { return survivors_ended(); });
  if (options_.fault != "stop") return;
  world_->signal(victim_, SIGCONT);
  pump(monotonic_ns() + kThawNs, [] { return false; });  // ends once no rank is left
}

const RecoveryRep::OpStamp* RecoveryRep::stamp(uint32_t rank, uint32_t op) const {
  for (const OpStamp& s : ranks_[rank].ops)
    if (s.op == op) return &s;
  return nullptr;
}

// The first op that ended after the fault, if it had begun before it.
uint32_t RecoveryRep::op_in_flight() const {
  uint32_t op = kNoOpHit;
  for (uint32_t r = 0; r < options_.ranks; ++r) {
    if (r == victim_) continue;
    for (const OpStamp& s : ranks_[r].ops)
      if (s.end_ns > fault_ns_) op = std::min(op, s.op);
  }
  for (uint32_t r = 0; r < options_.ranks && op != kNoOpHit; ++r)
    if (const OpStamp* s = r == victim_ ? nullptr : stamp(r, op); s && s->begin_ns < fault_ns_)
      return op;
  return kNoOpHit;
}

double RecoveryRep::steady_ms(uint32_t after_op) const {
  std::map<uint32_t, double> slowest;
  for (uint32_t r = 0; r < options_.ranks; ++r) {
    if (r == victim_) continue;
    for (const OpStamp& s : ranks_[r].ops)
      if (s.op > after_op && s.rebuilds == 0)
        slowest[s.op] = std::max(slowest[s.op], ms_since(s.begin_ns, s.end_ns));
  }
  std::vector<double> times;
  for (const auto& [op, ms] : slowest) times.push_back(ms);
  return percentile(times, 50);
}

void RecoveryRep::judge_op(uint32_t op, RepResult& result) const {
  uint64_t held = 0;
  bool rebuilt = false;
  for (uint32_t r = 0; r < options_.ranks; ++r) {
    const OpStamp* s = r == victim_ ? nullptr : stamp(r, op);
    if (!s) continue;
    result.op_done_ms = std::max(result.op_done_ms, ms_since(fault_ns_, s->end_ns));
    result.redone_bytes = std::max(result.redone_bytes, s->redone);
    held = std::max(held, s->held);
    rebuilt |= s->rebuilds > 0;
  }
  const auto bytes = static_cast<double>(options_.bytes);
  result.held_share = static_cast<double>(held) / bytes;
  // Mode keep redoes exactly what nobody held; strict redoes all or nothing.
  if (options_.reduction.rebuild == "keep")
    result.held_share = 1 - static_cast<double>(result.redone_bytes) / bytes;
  if (!rebuilt) result.held_share = 1;  // it was complete everywhere
  result.steady_op_ms = steady_ms(op);
}

void RecoveryRep::judge(RepResult& result) const {
  const bool out = options_.fault == "kill" || ranks_[victim_].evicted;
  std::map<uint32_t, std::string> digests;
  auto first_after = [&](const std::vector<uint64_t>& times) {
    const auto at =
        std::find_if(times.begin(), times.end(), [&](uint64_t t) { return t >= fault_ns_; });
    return at == times.end() ? uint64_t{0} : *at;
  };
  for (uint32_t r = 0; r < options_.ranks; ++r) {
    const RankLog& rank = ranks_[r];
    if (r == victim_ && out) continue;
    if (world_->alive(r) || rank.hang) {
      ++result.hangs;
    } else if (!rank.fail.empty() || world_->wait_status(r) != 0) {
      result.failure =
          format("rank %u: %s", r,
                 rank.fail.empty() ? wait_text(world_->wait_status(r)).c_str() : rank.fail.c_str());
    }
    for (const OpStamp& s : rank.ops) {
      result.wrong += s.wrong;
      if (s.digest == "-") continue;
      const std::string& one = digests.try_emplace(s.op, s.digest).first->second;
      result.wrong += one != s.digest;
    }
    if (r == victim_ || !out) continue;
    const uint64_t installed = first_after(rank.installs_ns);
    if (!installed) {
      if (result.failure.empty()) result.failure = format("rank %u saw no new view", r);
      continue;
    }
    // Sealed and installed within one turn of its loop leaves no line of the seal.
    const uint64_t first_seal = first_after(rank.seals_ns);
    const uint64_t sealed = first_seal ? std::min(first_seal, installed) : installed;
    result.detect_ms = std::max(result.detect_ms, ms_since(fault_ns_, sealed));
    result.usable_ms = std::max(result.usable_ms, ms_since(fault_ns_, installed));
  }
  result.evicted = out;
  if (const uint64_t gone = world_->gone_ns(victim_); gone > fault_ns_)
    result.gone_ms = ms_since(fault_ns_, gone);
  const uint32_t op = op_in_flight();
  result.missed = op == kNoOpHit;
  if (!result.missed) judge_op(op, result);
}

RepResult RecoveryRep::run() {
  RepResult result;
  WorldOptions world;
  world.rank.kind = "recovery";
  world.rank.plan = std::to_string(options_.bytes);
  world.rank.ranks = options_.ranks;
  world.rank.before = before_;
  world.rank.after = after_;
  world.rank.reduction = options_.reduction;
  world.transport = options_.transport;
  world.log = log_;
  world.suspicion_ms = options_.suspicion_ms;
  world.log_events = true;
  auto started = BenchWorld::start(world);
  if (!started) {
    result.failure = started.status().text();
    return result;
  }
  world_ = std::move(started).value();
  if (!reach_the_op()) {
    result.failure = "the ranks did not get as far as the op to be disturbed";
    for (const RankLog& rank : ranks_)
      if (!rank.fail.empty()) result.failure = rank.fail;
    return result;
  }
  strike();
  wait_for_the_end();
  judge(result);
  return result;
}

}  // namespace rhz::tools
