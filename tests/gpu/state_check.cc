// State on a device, by a trainer that is killed and started again: attach, digests, snapshots.
#include <rhizome/rhizome.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "tests/gpu/parent.h"
#include "tests/gpu/state_trainer.h"

namespace rhz::gpu {
namespace {

constexpr uint64_t kBytes = (uint64_t{256} << 20) + 300000;  // no multiple of a digest's block

class Script {
 public:
  explicit Script(StateRun& run) : run_(run) {}
  void begin(const std::string& name) { name_ = name, wrong_.clear(); }
  // What does not end so ends the check.
  StateRun::Answer say(const std::string& line, int expected = RHZ_OK,
                       const std::string& part = "") {
    if (!wrong_.empty()) return {};
    const StateRun::Answer answer = line == "start" ? run_.start() : run_.say(line);
    if (answer.status != expected || answer.text.find(part) == std::string::npos)
      wrong_ = line + ": " + std::to_string(answer.status) + " " + answer.text;
    return answer;
  }
  void all(std::initializer_list<const char*> lines) {
    for (const char* line : lines) say(line);
  }
  void kill() { run_.kill_trainer(); }
  void end() {
    std::printf("%s state %s%s%s\n", wrong_.empty() ? "ok" : "FAIL", name_.c_str(),
                wrong_.empty() ? "" : ": ", wrong_.c_str());
    std::fflush(stdout);
    well_ &= wrong_.empty();
  }
  bool well() const { return well_; }

 private:
  StateRun& run_;
  std::string name_, wrong_;
  bool well_ = true;
};

void attach_checks(Script& s) {
  s.begin("mean, norm and digest of tensors on a device have the bits of those in the host");
  s.all({"start", "alloc"});
  s.say("average");
  s.end();

  s.begin("a trainer killed outside of an update leaves its tensors, bytes equal");
  s.all({"start", "alloc", "enrol", "begin", "write 1", "end", "commit 1"});
  s.kill();
  s.say("start"), s.say("attach", RHZ_OK, "revision 1 verified 0"), s.say("verify 1");
  s.end();

  s.begin("the digest made on the device is that of the host");
  s.all({"enrol", "digest"});
  s.end();

  s.begin("attach once more, bytes proved by that digest");
  s.kill();
  s.say("start"), s.say("attach", RHZ_OK, "revision 1 verified 1"), s.say("verify 1");
  s.end();

  s.begin("an update waits for its kernels");
  s.all({"enrol", "begin", "churn", "write 2", "end", "commit 2"});
  s.kill();
  s.say("start"), s.say("attach", RHZ_OK, "revision 2"), s.say("verify 2");
  s.end();

  s.begin("a trainer killed while its kernels update leaves nothing to attach to");
  s.all({"enrol", "begin", "churn"});
  s.kill();
  s.say("start"), s.say("attach", RHZ_ERR_STATE_LOST, "died inside an update of revision 2");
  s.say("attach", RHZ_ERR_STATE_LOST, "nothing is kept");  // its memory was let go
  s.end();
}

// Memory of cudaMalloc is held by a process that the vault starts, and copied.
void held_checks(Script& s) {
  s.begin("a killed trainer's memory of cudaMalloc is copied to the next one, bytes equal");
  s.all({"start", "malloc", "enrol", "begin", "write 1", "end", "commit 1"});
  s.kill();
  s.say("start"), s.say("attach", RHZ_OK, "revision 1 verified 0"), s.say("verify 1");
  s.end();

  s.begin("that copy is held as well, and proved by its digest");
  s.all({"enrol", "digest", "begin", "churn", "write 2", "end", "commit 2", "digest"});
  s.kill();
  s.say("start"), s.say("attach", RHZ_OK, "revision 2 verified 1"), s.say("verify 2");
  s.end();

  s.begin("a trainer killed before it joins loses nothing, whatever it did to its copy");
  s.all({"begin", "write 5", "end", "commit 3"});
  s.kill();
  s.say("start"), s.say("attach", RHZ_OK, "revision 2 verified 1"), s.say("verify 2");
  s.end();

  s.begin("a trainer killed while its kernels update memory of cudaMalloc leaves nothing");
  s.all({"enrol", "begin", "churn"});
  s.kill();
  s.say("start"), s.say("attach", RHZ_ERR_STATE_LOST, "died inside an update of revision 2");
  s.say("attach", RHZ_ERR_STATE_LOST, "nothing is kept");
  s.end();
}

void snapshot_checks(Script& s, const char* memory) {
  s.begin(std::string("a snapshot brings the bytes back, memory of ") + memory);
  s.all({"start", memory, "enrol", "begin", "write 3", "end", "commit 3", "snapshot", "fence",
         "begin", "write 4", "end", "commit 4", "verify 4", "restore", "verify 3"});
  s.end();

  s.begin(std::string("a snapshot outlives a trainer killed while its kernels update, memory of ") +
          memory);
  s.all({"begin", "write 5", "end", "commit 4", "snapshot", "fence", "begin", "churn"});
  s.kill();
  s.say("start");
  s.say("attach", RHZ_ERR_STATE_LOST);
  s.all({memory, "enrol", "restore", "verify 5"});
  s.end();
}

void checkpoint_checks(Script& s) {
  s.begin("a checkpoint of memory of a device brings the bytes back to another process");
  s.all({"start", "alloc", "enrol", "begin", "write 3", "end", "commit 3", "checkpoint"});
  s.kill();
  s.all({"start", "malloc", "enrol", "begin", "write 4", "end", "load", "verify 3"});
  s.end();
  std::error_code ignored;
  std::filesystem::remove_all("/tmp/rhz-gpu-check-" + std::to_string(getpid()), ignored);
}

}  // namespace

bool check_state() {
  StateRun run(kBytes);
  Script script(run);
  attach_checks(script);
  held_checks(script);
  for (const char* memory : {"alloc", "malloc"}) snapshot_checks(script, memory);
  checkpoint_checks(script);
  return script.well();
}

}  // namespace rhz::gpu
