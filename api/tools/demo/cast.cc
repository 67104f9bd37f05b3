#include "api/tools/demo/cast.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

#include "api/tools/text.h"

namespace rhz::demo {
namespace {

using tools::field;
using tools::monotonic_ns;
using tools::number;
using tools::whole;

constexpr std::string_view kListening = "coordinator: listening on ";
constexpr Duration kStatusPause = milliseconds(250);

}  // namespace

Cast::Cast(const DemoOptions& options, std::string folder)
    : options_(options), folder_(std::move(folder)) {}

Status Cast::start_coordinator() {
  tools::Command command;
  command.arguments = {options_.rhizome, "coordinator",
                       "--listen",       address_.empty() ? "127.0.0.1:0" : address_,
                       "--log",          folder_ + "/run.log",
                       "--run-id",       "demo",
                       "--world",        std::to_string(options_.peers),
                       "--max-world",    std::to_string(options_.peers + 1),
                       "--suspicion-ms", std::to_string(options_.suspicion_ms)};
  coordinator_listens_ = false;
  auto child = tools::spawn(command);
  if (!child) return child.status();
  coordinator_ = std::move(child).value();
  return Status::ok();
}

void Cast::kill_coordinator() {
  kill(coordinator_.pid, SIGKILL);
  waitpid(coordinator_.pid, nullptr, 0);
  coordinator_ = {};
  coordinator_listens_ = false;
}

Result<size_t> Cast::start_trainer() {
  tools::Command command;
  command.arguments = {options_.trainer, "--steps", std::to_string(options_.steps), "--min-step-ms",
                       std::to_string(options_.min_step_ms), "--log-ops", "1"};
  if (!options_.data.empty()) {
    command.arguments.emplace_back("--data");
    command.arguments.insert(command.arguments.end(), options_.data.begin(), options_.data.end());
  }
  command.environment = {{"RHZ_COORDINATOR", address_}, {"RHZ_RUN_ID", "demo"}};
  auto child = tools::spawn(command);
  if (!child) return child.status();
  Trainer trainer;
  trainer.name = std::string(1, static_cast<char>('A' + trainers_.size()));
  trainer.child = std::move(child).value();
  trainers_.push_back(std::move(trainer));
  return trainers_.size() - 1;
}

void Cast::signal(size_t trainer, int signal) { kill(trainers_[trainer].child.pid, signal); }

void Cast::listen(int ms) {
  std::vector<pollfd> fds;
  if (coordinator_.out.is_open()) fds.push_back({coordinator_.out.fd(), POLLIN, 0});
  for (const Trainer& t : trainers_)
    if (t.child.out.is_open()) fds.push_back({t.child.out.fd(), POLLIN, 0});
  (void)poll(fds.data(), fds.size(), ms);
  coordinator_.out.drain([&](std::string_view line) {
    coordinator_said_ = line;
    if (!line.starts_with(kListening)) return;
    const std::string_view rest = line.substr(kListening.size());
    address_ = std::string(rest.substr(0, rest.find(' ')));
    coordinator_listens_ = true;
  });
  for (Trainer& t : trainers_) t.child.out.drain([&](std::string_view line) { said(t, line); });
  reap();
  if (!status_ && coordinator_listens_)
    if (auto client = tools::StatusClient::open(address_)) status_ = std::move(client).value();
  if (status_) status_->poll(kStatusPause);
}

void Cast::reap() {
  for (Trainer& t : trainers_) {
    int wait_status = 0;
    if (t.wait_status || waitpid(t.child.pid, &wait_status, WNOHANG) != t.child.pid) continue;
    t.child.out.drain([&](std::string_view line) { said(t, line); });
    t.child.out.close();
    t.wait_status = wait_status;
    t.state = t.state == Trainer::State::kKilled ? t.state : Trainer::State::kEnded;
  }
  if (coordinator_.pid > 0 && waitpid(coordinator_.pid, nullptr, WNOHANG) == coordinator_.pid) {
    coordinator_ = {};
    coordinator_listens_ = false;
  }
}

void Cast::said(Trainer& t, std::string_view line) {
  const std::string_view word = line.substr(0, line.find(' '));
  if (word.starts_with("step=")) return report(t, line);
  if (word == "reduces") {
    t.reduces_step = whole(line, "step");
  } else if (word == "joined") {
    t.state = Trainer::State::kTraining;
    t.slot = static_cast<uint32_t>(whole(line, "slot"));
    t.epoch = whole(line, "epoch");
    t.world = static_cast<uint32_t>(whole(line, "world"));
    t.step = whole(line, "step");
    t.joined_ns = t.epoch_ns = t.line_ns = monotonic_ns();
    ++t.joins;
  } else if (word == "evicted") {
    t.state = Trainer::State::kOut;
    ++t.evictions;
  } else if (word == "retry") {
    ++t.retries;
    t.last_words = line;
  } else if (word == "final") {
    t.final_line =
        Final{whole(line, "step"), whole(line, "failed_ops", UINT64_MAX), number(line, "loss"),
              number(line, "first_loss"), std::string(field(line, "digest"))};
  } else {
    t.last_words = line;
  }
}

void Cast::report(Trainer& t, std::string_view line) {
  const uint64_t now = monotonic_ns();
  const uint64_t step = whole(line, "step"), epoch = whole(line, "epoch");
  if (epoch != t.epoch) t.epoch_ns = now;
  t.line_ns = now;
  t.step = step;
  t.epoch = epoch;
  t.world = static_cast<uint32_t>(whole(line, "world"));
  t.loss = number(line, "loss");
  t.op_ms = number(line, "op_ms");
  t.rebuilds += whole(line, "rebuilds");
}

const std::optional<StatusReply>& Cast::status() const {
  static const std::optional<StatusReply> nothing;
  return status_ ? status_->newest() : nothing;
}

uint64_t Cast::front_step() const {
  uint64_t step = 0;
  for (const Trainer& t : trainers_) step = std::max(step, t.step);
  return step;
}

size_t Cast::training() const {
  return static_cast<size_t>(std::count_if(trainers_.begin(), trainers_.end(),
                                           [](const Trainer& t) { return t.trains(); }));
}

}  // namespace rhz::demo
