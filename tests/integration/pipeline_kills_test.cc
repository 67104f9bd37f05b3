// Many kills of one run of pipeline_lm, at random moments: what they cost, and what the run ends
// with.  Where its state is in shards, the vault of the peer's host dies with it.
#include <gtest/gtest.h>

#include <csignal>
#include <optional>
#include <random>

#include "tests/integration/expect.h"
#include "tests/integration/pipeline_runs.h"
#include "tests/integration/vault_hosts.h"

namespace rhz::test {
namespace {

struct Kills {
  int kills = 0;
  const char* name;
  const char* sources;  // that the run may use
  uint32_t stages, replicas;
  const char* more = "";
  bool is(std::string_view other) const { return name == other; }
  // Steps until the next kill.  Shards of some stages may be of a revision that the run has gone
  // back behind: it has to come by that again.
  uint64_t rest() const { return is("shards") ? 6 : 2; }
  // Enough for all kills: after one the run goes back further where its state is seldom written, and a vault that died is missed, and
  // what it held made anew, before the next.
  PipelineRun run() const {
    PipelineRun run{stages, replicas};
    run.steps = 20 + static_cast<uint64_t>(kills) * (is("shards") ? 100 : is("disk") ? 20 : 8);
    return run;
  }
};

// A moment of the program's, not of ours: some way into whatever it does now.
void let_pass(std::chrono::microseconds time) {
  for (const auto until = Clock::now() + time; Clock::now() < until;) continue;
}

class KillsOfAPipeline : public testing::TestWithParam<Kills> {
 protected:
  std::string id() const {
    return "pipeline-kills-" + std::to_string(getpid()) + "-" + GetParam().name;
  }
  std::string how() const {
    return "--restart --max-restarts 1000 --longest-pause-ms 20 --run-id " + id() +
           (GetParam().is("shards") ? "" : " --vault");
  }
  void start_hosts(Cli& command) {
    coordinator_ = listening(command);
    hosts_.emplace(id(), coordinator_, GetParam().stages * GetParam().replicas);
    hosts_->start_all();
  }
  // Every stage would come back without any one host.
  bool stands() const {
    Cli cli(words("status --json --coordinator " + coordinator_));
    EXPECT_EQ(cli.end(), 0) << cli.errors();
    const std::string status = cli.output(), last = std::to_string(GetParam().stages - 1);
    return status.find("{\"stage\":" + last) != std::string::npos &&
           status.find("\"stands_hosts\":0") == std::string::npos;
  }
  void kill_one(Cli& command, int slot) {
    if (hosts_) {
      EXPECT_TRUE(until([&] { return stands(); }));
    }
    kill(command.peer(slot), SIGKILL);
    if (hosts_) hosts_->kill({static_cast<uint32_t>(slot)});
  }
  // Kills one peer after the other, each when the one before it has its state back.  How often each
  // source served.
  std::map<std::string, int> kill_many(Cli& command) {
    std::map<std::string, int> sources;
    std::mt19937_64 random(seed());
    uint64_t step = 0;
    const uint32_t slots = GetParam().stages * GetParam().replicas;
    for (int kills = 0; kills < GetParam().kills; ++kills) {
      command.await("] step=" + std::to_string(step + GetParam().rest() + random() % 3) + " ");
      const int slot = static_cast<int>(random() % slots);
      let_pass(std::chrono::microseconds(random() % 40'000));
      kill_one(command, slot);
      const Line back = command.await("[slot " + std::to_string(slot) + "] recovered stage=");
      if (back.raw.empty()) break;
      if (hosts_) hosts_->start(static_cast<uint32_t>(slot));
      step = back.number("step");
      ++sources[back.text("source")];
    }
    std::printf("%s: kills=%d", GetParam().name, GetParam().kills);
    for (const auto& [source, times] : sources) std::printf(" %s=%d", source.c_str(), times);
    std::printf("\n");
    return sources;
  }

  const Folder folder_;  // for checkpoints; outlives the run
  std::string coordinator_;
  std::optional<VaultHosts> hosts_;
};

using Replayed = KillsOfAPipeline;

// The root digest of each stage's parameters, moments and counters, and of the run's random stream
// and its position in the text.
TEST_P(Replayed, EndsWithTheBitsOfARunWithoutKills) {
  const PipelineRun run = GetParam().run();
  const PipelineEnds expected = ends_without_losses(run);
  const std::string every = GetParam().is("shards") ? "5" : "1";
  std::string more = "--policy replay --min-step-ms 20 --snapshot-every " + every + " --sources " +
                     GetParam().sources + " " + GetParam().more;
  if (GetParam().is("disk")) more += " --checkpoint-folder " + folder_.file("checkpoints");
  Cli command(pipeline(run, how(), more), {"RHZ_SHARDS=2+1"});
  if (GetParam().is("shards")) start_hosts(command);
  const auto sources = kill_many(command);
  const PipelineEnds ends = ends_of(command, run);
  EXPECT_EQ(ends.digests, expected.digests);
  EXPECT_EQ(ends.loss, expected.loss);
  for (const auto& [source, times] : sources)
    EXPECT_NE(std::string(GetParam().sources).find(source), std::string::npos) << source;
}

constexpr Kills few(const char* name, const char* sources, uint32_t stages, uint32_t replicas,
                    const char* more = "") {
  return {4, name, sources, stages, replicas, more};
}
constexpr Kills fifty(const char* name, const char* sources, uint32_t stages, uint32_t replicas,
                      const char* more = "") {
  return {50, name, sources, stages, replicas, more};
}
std::string name_of(const testing::TestParamInfo<Kills>& info) { return info.param.name; }

// A death inside an update leaves nothing to attach to: then it is the snapshot.
INSTANTIATE_TEST_SUITE_P(Few, Replayed,
                         testing::Values(few("replica", "replica", 2, 2),
                                         few("attach", "attach,vault", 4, 1),
                                         few("vault", "vault", 4, 1),
                                         few("shards", "shards,vault", 4, 1, "--protect-every 5"),
                                         few("shadow", "shadow", 4, 1, "--shadow 1"),
                                         few("disk", "disk", 4, 1, "--checkpoint-every 5")),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Fifty, Replayed,
                         testing::Values(fifty("replica", "replica", 2, 2),
                                         fifty("attach", "attach,vault", 4, 1),
                                         fifty("vault", "vault", 4, 1),
                                         fifty("shards", "shards,vault", 4, 1, "--protect-every 5"),
                                         fifty("shadow", "shadow", 4, 1, "--shadow 1"),
                                         fifty("disk", "disk", 4, 1, "--checkpoint-every 5"),
                                         fifty("all", "replica,attach,vault", 2, 2)),
                         name_of);

using Continued = KillsOfAPipeline;

// A step that was done is never lost, the replicas of a stage stay equal, bit for bit, and the run
// ends with the loss of one process that left out what the dead had in hand, and nothing else.
TEST_P(Continued, LosesNoMoreThanWhatTheDeadHadInHand) {
  PipelineRun run = GetParam().run();
  run.batch = 2, run.context = 32;  // so that most kills fall into a step's work, not beside it
  Cli command(pipeline(run, how(), "--policy continue --snapshot-every 1 --min-step-ms 20"));
  const auto sources = kill_many(command);
  EXPECT_EQ(sources.size(), 1u);
  EXPECT_TRUE(sources.contains("replica"));
  const PipelineEnds ends = ends_of(command, run);
  EXPECT_LT(ends.loss, ends.first_loss);
  run = as_said(command, run);
  std::printf("continue: %zu steps lost a strand\n", run.strands.size());
  EXPECT_LE(run.strands.size(), static_cast<size_t>(GetParam().kills));
  EXPECT_EQ(ends.loss, loss_of_one_process(run));
}

INSTANTIATE_TEST_SUITE_P(Few, Continued, testing::Values(few("continue", "all", 2, 2)), name_of);
INSTANTIATE_TEST_SUITE_P(Fifty, Continued, testing::Values(fifty("continue", "all", 2, 2)),
                         name_of);

}  // namespace
}  // namespace rhz::test
