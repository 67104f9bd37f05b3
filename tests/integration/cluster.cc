#include "tests/integration/cluster.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <sstream>

namespace rhz::test {
namespace {

std::vector<std::string> command_line(const std::string& options) {
  std::vector<std::string> arguments{RHZ_TEST_ACTOR};
  std::istringstream words(options);
  for (std::string word; words >> word;) arguments.push_back(word);
  return arguments;
}

}  // namespace

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {
  if (options_.log) log_path_ = folder_.file("decisions.log");
  start_coordinator("127.0.0.1:0");
}

Cluster::~Cluster() {
  // A leak is reported at an orderly end only.
  if (kSanitized && !hung_) {
    for (Member& member : members_) {
      // Never later: LeakSanitizer stops the threads of a process that ends, and waits for that.
      member.process->signal(SIGCONT);
      member.process->end_input();
    }
    for (Member& member : members_) expect_end(*member.process);
    coordinator_->end_input();
    expect_end(*coordinator_);
  }
  // The members first: a rank without its coordinator is no cause for an alarm in its log.
  members_.clear();
  coordinator_.reset();
}

void Cluster::expect_end(Process& process) {
  const auto status = process.wait(deadline());
  EXPECT_TRUE(status) << "does not end";
  EXPECT_TRUE(!status || *status == 0 || WIFSIGNALED(*status)) << process.errors();
}

void Cluster::start_coordinator(const std::string& listen) {
  std::string options = "coordinator listen=" + listen +
                        " world=" + std::to_string(options_.world) +
                        " max_world=" + std::to_string(options_.max_world) +
                        " min_world=" + std::to_string(options_.min_world) +
                        " suspicion_ms=" + std::to_string(options_.suspicion_ms * kSlowness);
  if (!log_path_.empty()) options += " log=" + log_path_;
  options += " " + options_.run_options;
  coordinator_ = std::make_unique<Process>(command_line(options), folder_.file("coordinator.err"));
  const auto line = coordinator_->await("started", deadline());
  ASSERT_TRUE(line) << coordinator_->errors();
  ASSERT_EQ(line->number("status"), 0u) << line->raw;
  address_ = line->text("address");
}

void Cluster::kill_coordinator() {
  coordinator_->signal(SIGKILL);
  EXPECT_TRUE(coordinator_->wait(deadline()));
}

void Cluster::restart_coordinator() { start_coordinator(address_); }

Member& Cluster::start_rank(const std::string& join_options) {
  Member member;
  member.slot = ~0u;
  const std::string options = "rank coordinator=" + address_ + " " + options_.rank_options;
  member.process = std::make_unique<Process>(
      command_line(options), folder_.file("rank" + std::to_string(started_++) + ".err"));
  member.process->tell("join " + join_options);
  members_.push_back(std::move(member));
  return members_.back();
}

void Cluster::joined(Member& member) {
  const Line line = answer(member, "joined");
  EXPECT_EQ(line.number("status"), 0u) << line.raw;
  member.slot = static_cast<uint32_t>(line.number("slot"));
}

void Cluster::found() {
  for (uint32_t i = 0; i < options_.world; ++i) start_rank();
  for (Member& member : members_) joined(member);
  std::sort(members_.begin(), members_.end(),
            [](const Member& a, const Member& b) { return a.slot < b.slot; });
}

Member& Cluster::at_slot(uint32_t slot) {
  for (Member& member : members_)
    if (member.slot == slot) return member;
  ADD_FAILURE() << "nobody has slot " << slot;
  return members_.front();
}

void Cluster::drop(uint32_t slot) {
  std::erase_if(members_, [&](const Member& member) { return member.slot == slot; });
}

void Cluster::tell_all(const std::string& command) {
  for (Member& member : members_) member.process->tell(command);
}

Line Cluster::answer(Member& member, const std::string& verb) {
  if (!hung_)
    if (auto line = member.process->await(verb, deadline())) return *line;
  return hang("slot " + std::to_string(member.slot), verb);
}

Line Cluster::hang(const std::string& who, const std::string& verb) {
  if (!std::exchange(hung_, true))
    ADD_FAILURE() << who << " did not say \"" << verb << "\" in time\n" << dump();
  return {"hang", {{"status", "-1"}}, "hang status=-1"};
}

std::vector<Line> Cluster::answers(const std::string& verb) {
  std::vector<Line> lines;
  for (Member& member : members_) lines.push_back(answer(member, verb));
  return lines;
}

std::vector<Line> Cluster::all(const std::string& command, const std::string& verb) {
  tell_all(command);
  return answers(verb);
}

Line Cluster::ask(Member& member, const std::string& command, const std::string& verb) {
  member.process->tell(command);
  return answer(member, verb);
}

void Cluster::open_boundary(uint32_t newcomers) {
  for (size_t i = 0; i + newcomers < members_.size(); ++i)
    members_[i].process->tell("admit until=" + std::to_string(newcomers));
}

void Cluster::enter(uint32_t newcomers) {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (i + newcomers >= members_.size()) {
      joined(members_[i]);
      continue;
    }
    const Line line = answer(members_[i], "admitted");
    EXPECT_EQ(line.number("status"), 0u) << line.raw;
  }
}

// They may come in one by one: whoever is in goes to the boundary with the others, until the world
// is whole.
void Cluster::replace(uint32_t count) {
  const std::string whole = "world=" + std::to_string(members_.size() + count);
  tell_all("admit " + whole);
  for (uint32_t i = 0; i < count; ++i) start_rank(whole);
  enter(count);
}

std::string Cluster::dump() {
  std::string text = "logs in " + folder_.path() + "\n";
  std::vector<Process*> processes{coordinator_.get()};
  for (Member& member : members_) processes.push_back(member.process.get());
  for (Process* process : processes) {
    if (hung_) text += process->stacks();
    text += process->errors() + "\n";
  }
  return text;
}

}  // namespace rhz::test
