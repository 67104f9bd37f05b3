// rhz_gpu_check: what needs a CUDA device to be tested.  One line per check, "ok" or "FAIL", and
// the exit status.  Ranks are processes, spread over the devices that there are; several may share
// one.
//
//   rhz_gpu_check [--ranks 4] [--only collectives|streams|messages|windows|state|sync|kills|kernel-kills] [--kills 50]
//   [--bytes 67108864] [--under COMMAND]
//
// --under: ranks are run by this command, such as "compute-sanitizer --log-file %p".
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/gpu/parent.h"
#include "tests/gpu/rank.h"
#include "tests/gpu/state_trainer.h"

namespace rhz::gpu {
namespace {

struct Arguments {
  uint32_t ranks = 4, kills = 50, rebuild = RHZ_REBUILD_STRICT, least = 2;
  uint64_t bytes = 64u << 20;
  std::string only, role, under;
  bool registered = false;
  Setting setting;
};

Arguments read(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    const auto number = std::strtoull(value, nullptr, 10);
    if (name == "--ranks")
      a.ranks = static_cast<uint32_t>(number);
    else if (name == "--kills")
      a.kills = static_cast<uint32_t>(number);
    else if (name == "--bytes")
      a.bytes = number;
    else if (name == "--rebuild")
      a.rebuild = static_cast<uint32_t>(number);
    else if (name == "--least")
      a.least = static_cast<uint32_t>(number);
    else if (name == "--only")
      a.only = value;
    else if (name == "--under")
      a.under = value;
    else if (name == "--role")
      a.role = value;
    else if (name == "--coordinator")
      a.setting.coordinator = value;
    else if (name == "--slot")
      a.setting.slot = static_cast<uint32_t>(number);
    else if (name == "--devices")
      a.setting.devices = static_cast<uint32_t>(number);
    else if (name == "--registered")
      a.registered = number != 0;
    else if (name == "--device")
      a.setting.device = static_cast<int>(number);
    else
      std::fprintf(stderr, "unknown: %s\n", argv[i]), std::exit(2);
  }
  a.setting.ranks = a.ranks;
  return a;
}

int be_rank(const Arguments& a) {
  if (a.role == "member" || a.role == "joiner") return be_sync_peer(a.setting, a.role == "joiner");
  Rank rank(a.setting);
  if (a.role == "collectives") check_collectives(rank), check_blocks(rank);
  if (a.role == "streams") check_streams(rank);
  if (a.role == "messages") check_messages(rank);
  if (a.role == "windows") check_windows(rank);
  if (a.role == "kills") run_until_killed(rank, a.least, a.bytes, a.rebuild, a.registered);
  return rank.failed() ? 1 : 0;
}

int be_parent(const Arguments& a) {
  Parent parent(a.under);
  bool well = true;
  if (a.only.empty() || a.only == "collectives") well &= parent.run("collectives", a.ranks);
  if (a.only.empty() || a.only == "streams") well &= parent.run("streams", a.ranks);
  if (a.only.empty() || a.only == "messages") well &= parent.run("messages", a.ranks);
  if (a.only.empty() || a.only == "state") well &= check_state();
  if (a.only.empty() || a.only == "sync") well &= check_sync(parent.devices());
  if (a.only.empty() || a.only == "kills")
    well &= parent.run_kills(a.ranks, a.kills, a.bytes, false);
  const uint32_t n = std::min(parent.devices(), 8u);
  if (a.only.empty() || a.only == "windows") {
    if (n > 1) well &= parent.run("windows", n);
    well &= parent.run("windows", 2 * n);  // two share a device: refused, and everything works
  }
  if ((a.only.empty() && n > 1) || a.only == "kernel-kills")
    well &= parent.run_kills(n, a.kills, a.bytes, true);
  if (a.only.empty())
    well &= parent.run("streams", a.ranks);  // after all kills: the devices still work
  std::printf("%s\n", well ? "all checks passed" : "CHECKS FAILED");
  return well ? 0 : 1;
}

}  // namespace
}  // namespace rhz::gpu

int main(int argc, char** argv) {
  if (rhz::gpu::be_state_trainer(argc, argv) || rhz::gpu::be_device_holder(argc, argv)) return 0;
  const auto arguments = rhz::gpu::read(argc, argv);
  return arguments.role.empty() ? rhz::gpu::be_parent(arguments) : rhz::gpu::be_rank(arguments);
}
