// What a rank does with ops.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>

#include "tests/integration/crash_points.h"
#include "tests/integration/rank.h"

namespace rhz::test {
namespace {

uint64_t us_since(Clock::time_point start) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
}

// The kernel kills this process after so long, wherever it then is.
void arm_kill(uint64_t us) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) std::abort();
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(us / 1'000'000);
  when.it_value.tv_nsec = static_cast<long>(us % 1'000'000 * 1000 + 1);
  timer_settime(timer, 0, &when, nullptr);
}

}  // namespace

rhz_status Rank::barrier() {
  rhz_op* op = nullptr;
  rhz_status status = rhz_barrier(comm_, &op);
  if (status == RHZ_OK) status = rhz_op_wait(op, 0, 0);
  rhz_op_release(op);
  return status;
}

void Rank::run(const Line& command) {
  if (submit(command)) wait(command);
}

std::vector<float> Rank::buffer(uint64_t count) {
  for (auto& spare : spare_) {
    if (spare.size() != count) continue;
    std::vector<float> found = std::move(spare);
    std::swap(spare, spare_.back());
    spare_.pop_back();
    return found;
  }
  return std::vector<float>(count);
}

void Rank::fill(Open& open, const Line& command) {
  open.slot = view_.slot;
  if (!command.text("kind").empty()) {
    open.other = std::make_unique<Collective>(command, open.slot);
    return;
  }
  const uint64_t id = command.number("id"), count = command.number("count");
  open.in_place = command.number("in_place") != 0;
  open.average = command.text("redop") == "avg";
  open.recv = buffer(count);
  if (!open.in_place) open.send = buffer(count);
  fill_input(open.in_place ? open.recv : open.send, id, open.slot);
}

rhz_status Rank::submit_allreduce(Open& open, const Line& command) {
  rhz_allreduce_params params{};
  params.struct_size = sizeof params;
  params.send = open.in_place ? nullptr : open.send.data();
  params.recv = open.recv.data();
  params.count_elems = open.recv.size();
  params.dtype = RHZ_DTYPE_F32;
  params.redop = open.average ? RHZ_REDOP_AVG : RHZ_REDOP_SUM;
  params.rebuild = rebuild_mode(command.text("rebuild"));
  params.timeout_ms = static_cast<uint32_t>(command.number("timeout_ms"));
  return rhz_allreduce(comm_of(command), &params, &open.op);
}

bool Rank::submit(const Line& command) {
  const uint64_t id = command.number("id");
  Open& open = open_[id];
  fill(open, command);
  if (command.number("barrier")) {
    if (const rhz_status status = barrier(); status != RHZ_OK) {
      std::printf("op id=%llu status=%d text=in the barrier: %s\n",
                  static_cast<unsigned long long>(id), status, rhz_last_error());
      return false;
    }
  }
  if (const uint64_t us = command.number("kill_us")) arm_kill(us);
  if (const uint64_t nth = command.number("crash_at")) arm_crash(nth, command.text("crash_how"));
  open.submitted = Clock::now();
  const rhz_status status =
      open.other ? open.other->submit(comm_of(command), &open.op) : submit_allreduce(open, command);
  if (status != RHZ_OK) {
    std::printf("op id=%llu status=%d text=%s\n", static_cast<unsigned long long>(id), status,
                rhz_last_error());
    open_.erase(id);
    return false;
  }
  if (command.verb == "submit")
    std::printf("submitted id=%llu\n", static_cast<unsigned long long>(id));
  return true;
}

void Rank::post(const Line& command) {
  const uint64_t id = command.number("id");
  Open& open = open_[id];
  open.letter = std::make_unique<Letter>(command);
  if (const uint64_t us = command.number("kill_us")) arm_kill(us);
  const rhz_status status = open.letter->submit(comm_, &open.op);
  if (status != RHZ_OK) open_.erase(id);
  std::printf("submitted id=%llu status=%d text=%s\n", static_cast<unsigned long long>(id), status,
              last_error(status).c_str());
}

void Rank::tell_letter(uint64_t id, const Open& open, rhz_status status) {
  rhz_op_info info{};
  info.struct_size = sizeof info;
  if (rhz_op_info_get(open.op, &info) != RHZ_OK) std::abort();
  std::printf("op id=%llu status=%d bytes=%llu wrong=%llu seq=%llu rebuilds=%u culprit=%d text=%s\n",
              static_cast<unsigned long long>(id), status, static_cast<unsigned long long>(info.bytes),
              static_cast<unsigned long long>(status == RHZ_OK ? open.letter->wrong(info.bytes) : 0),
              static_cast<unsigned long long>(info.op_seq), info.rebuilds,
              static_cast<int>(info.culprit_slot_plus_one) - 1, info.text);
}

void Rank::wait(const Line& command) {
  const auto found = open_.find(command.number("id"));
  if (found == open_.end()) return void(std::printf("unknown id=%s\n", command.text("id").c_str()));
  Open& open = found->second;
  const auto flags = static_cast<uint32_t>(command.number("final") ? RHZ_WAIT_FINAL : 0);
  const rhz_status status =
      rhz_op_wait(open.op, static_cast<uint32_t>(command.number("wait_ms")), flags);
  disarm_crash();
  if (open.letter) tell_letter(found->first, open, status);
  else tell_outcome(found->first, open, status);
  if (status == RHZ_PENDING) return;
  rhz_op_release(open.op);
  if (open.letter) return void(open_.erase(found));
  if (!open.other) spare_.push_back(std::move(open.recv));
  if (!open.other && !open.in_place) spare_.push_back(std::move(open.send));
  open_.erase(found);
}

void Rank::tell_outcome(uint64_t id, Open& open, rhz_status status) {
  const uint64_t us = us_since(open.submitted);
  rhz_op_info info{};
  info.struct_size = sizeof info;
  if (rhz_op_info_get(open.op, &info) != RHZ_OK) std::abort();
  Verdict verdict;
  uint64_t changed = 0, digest = 0;
  if (status == RHZ_OK && open.other) {
    verdict = open.other->check(open.op);
    changed = open.other->changed();
  } else if (status == RHZ_OK) {
    verdict = check_result(open.op, open.recv, id, open.average);
    digest = digest_of(open.recv);
    if (!open.in_place) changed = count_changed(open.send, id, open.slot);
  }
  std::printf(
      "op id=%llu status=%d wrong=%llu first_wrong=%llu changed=%llu digest=%016llx "
      "contributors=%s empty=%s least=%u most=%u algorithm=%s seq=%llu first_epoch=%llu epoch=%llu "
      "rebuilds=%u held=%llu "
      "redone=%llu us=%llu culprit=%d text=%s%s\n",
      static_cast<unsigned long long>(id), status, static_cast<unsigned long long>(verdict.wrong),
      static_cast<unsigned long long>(verdict.first_wrong),
      static_cast<unsigned long long>(changed), static_cast<unsigned long long>(digest),
      verdict.contributors.c_str(), verdict.empty.c_str(), info.contributors_min,
      info.contributors_max, info.algorithm, static_cast<unsigned long long>(info.op_seq),
      static_cast<unsigned long long>(info.first_epoch),
      static_cast<unsigned long long>(info.last_epoch), info.rebuilds,
      static_cast<unsigned long long>(info.held_bytes),
      static_cast<unsigned long long>(info.redone_bytes), static_cast<unsigned long long>(us),
      static_cast<int>(info.culprit_slot_plus_one) - 1, info.text, verdict.problem.c_str());
}

void Rank::cancel(const Line& command) {
  const auto found = open_.find(command.number("id"));
  const rhz_status status =
      found == open_.end() ? RHZ_ERR_ARGUMENT : rhz_op_cancel(found->second.op);
  std::printf("cancelled status=%d\n", status);
}

// What no program may do: the input is borrowed.
void Rank::scribble(const Line& command) {
  Open& open = open_.at(command.number("id"));
  std::byte* const input =
      open.other ? open.other->first_input() : reinterpret_cast<std::byte*>(open.send.data());
  input[1] ^= std::byte{1};
  std::printf("scribbled\n");
}

// Many small all-reduces in one group: one line, with a digest over all results and contributors.
void Rank::batch(const Line& command) {
  const uint64_t first = command.number("first"), ops = command.number("ops");
  std::vector<std::vector<float>> send(ops), recv(ops);
  std::vector<rhz_op*> handles(ops);
  if (const rhz_status status = barrier(); status != RHZ_OK) return void(std::printf("batch status=%d\n", status));
  if (const uint64_t us = command.number("kill_us")) arm_kill(us);
  rhz_status status = rhz_group_begin();
  for (uint64_t i = 0; i < ops && status == RHZ_OK; ++i) {
    send[i].resize(command.number("count") + i % 7);
    recv[i].resize(send[i].size());
    fill_input(send[i], first + i, view_.slot);
    rhz_allreduce_params params{};
    params.struct_size = sizeof params;
    params.send = send[i].data();
    params.recv = recv[i].data();
    params.count_elems = send[i].size();
    params.dtype = RHZ_DTYPE_F32;
    params.rebuild = rebuild_mode(command.text("rebuild"));
    status = rhz_allreduce(comm_, &params, &handles[i]);
  }
  if (status == RHZ_OK) status = rhz_group_end();
  uint64_t wrong = 0, digest = 0, first_seq = 0, last_seq = 0;
  std::string sets;
  for (uint64_t i = 0; i < ops && status == RHZ_OK; ++i) {
    status = rhz_op_wait(handles[i], 0, 0);
    if (status != RHZ_OK) break;
    const Verdict verdict = check_result(handles[i], recv[i], first + i, false);
    rhz_op_info info{};
    info.struct_size = sizeof info;
    if (rhz_op_info_get(handles[i], &info) != RHZ_OK) std::abort();
    (i == 0 ? first_seq : last_seq) = info.op_seq;
    wrong += verdict.wrong;
    sets = verdict.contributors;
    digest = digest * 31 + digest_of(recv[i]) + std::hash<std::string>()(sets);
  }
  std::printf("batch status=%d wrong=%llu digest=%016llx contributors=%s seqs=%llu text=%s\n", status,
              static_cast<unsigned long long>(wrong), static_cast<unsigned long long>(digest), sets.c_str(),
              static_cast<unsigned long long>(last_seq - first_seq), last_error(status).c_str());
  for (rhz_op* op : handles)
    if (rhz_op_wait(op, 0, 0) != RHZ_PENDING) rhz_op_release(op);
}

// Small ops one after the other: one line, with a digest over the results and the contributors of
// all of them.
void Rank::series(const Line& command) {
  const uint64_t first = command.number("first"), ops = command.number("ops");
  std::vector<float> send(command.number("count")), recv(send.size());
  uint64_t wrong = 0, digest = 0, done = 0;
  rhz_status status = RHZ_OK;
  std::string last;
  if (const uint64_t us = command.number("kill_us")) arm_kill(us);
  for (; done < ops && status == RHZ_OK; ++done) {
    fill_input(send, first + done, view_.slot);
    rhz_allreduce_params params{};
    params.struct_size = sizeof params;
    params.send = send.data();
    params.recv = recv.data();
    params.count_elems = send.size();
    params.dtype = RHZ_DTYPE_F32;
    rhz_op* op = nullptr;
    status = rhz_allreduce(comm_, &params, &op);
    if (status == RHZ_OK) status = rhz_op_wait(op, 0, 0);
    if (status == RHZ_OK) {
      const Verdict verdict = check_result(op, recv, first + done, false);
      wrong += verdict.wrong;
      last = verdict.contributors;
      digest = digest * 31 + digest_of(recv) + std::hash<std::string>()(last);
    }
    rhz_op_release(op);
  }
  std::printf("series status=%d done=%llu wrong=%llu digest=%016llx contributors=%s text=%s\n",
              status, static_cast<unsigned long long>(done), static_cast<unsigned long long>(wrong),
              static_cast<unsigned long long>(digest), last.c_str(), last_error(status).c_str());
}

}  // namespace rhz::test
