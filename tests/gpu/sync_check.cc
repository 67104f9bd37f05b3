// A joiner gets shared tensors that are a device's from a member, into memory of its own device.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/gpu/parent.h"
#include "tests/gpu/rank.h"

namespace rhz::gpu {
namespace {

constexpr uint64_t kBytes = (uint64_t{256} << 20) + 12;

uint32_t value(uint64_t i) { return static_cast<uint32_t>(i * 2654435761u + 12345); }

void must(rhz_status status, const char* what) {
  if (status == RHZ_OK) return;
  std::printf("FAIL sync: %s: %s\n", what, rhz_last_error());
  std::fflush(stdout);
  std::_Exit(1);
}

// "ok", or what is wrong.
std::string compare(Memory memory, Stream stream) {
  std::vector<uint32_t> got(kBytes / 4);
  to_host(got.data(), memory, kBytes, stream);
  if (synchronize(stream) != 0) return "the stream failed";
  for (uint64_t i = 0; i < got.size(); ++i)
    if (got[i] != value(i)) return "wrong at element " + std::to_string(i);
  return "";
}

FILE* start(const std::string& coordinator, const char* role, uint32_t device) {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  const std::string program(path, length > 0 ? static_cast<size_t>(length) : 0);
  return popen((program + " --role " + role + " --coordinator " + coordinator + " --device " + std::to_string(device)).c_str(), "r");
}

bool ends_well(FILE* child) {
  char line[512];
  while (child && std::fgets(line, sizeof line, child)) std::fputs(line, stdout);
  return child && pclose(child) == 0;
}

}  // namespace

int be_sync_peer(const Setting& setting, bool joins) {
  if (!begin(setting.device)) return std::printf("FAIL sync: there is no device %d\n", setting.device), 1;
  const Stream stream = make_stream();
  rhz_comm_params params{};
  params.struct_size = sizeof params;
  params.coordinator = setting.coordinator.c_str();
  params.run_id = "gpu-sync";
  rhz_comm* comm = nullptr;
  must(rhz_comm_create(&params, &comm), "rhz_comm_create");
  void* data = nullptr;
  must(rhz_cuda_alloc(comm, kBytes, &data), "rhz_cuda_alloc");
  const auto memory = reinterpret_cast<Memory>(data);
  if (!joins) {
    std::vector<uint32_t> values(kBytes / 4);
    for (uint64_t i = 0; i < values.size(); ++i) values[i] = value(i);
    to_device(memory, values.data(), kBytes, stream);
    (void)synchronize(stream);
  }
  rhz_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.name = "weight";
  tensor.data = data;
  tensor.count_elems = kBytes / 4;
  tensor.dtype = RHZ_DTYPE_U32;
  must(rhz_state_register(comm, &tensor), "rhz_state_register");
  const uint64_t since = now_ns();
  must(rhz_comm_join(comm, 60000), "rhz_comm_join");
  std::string wrong;
  if (joins) {
    const double ms = static_cast<double>(now_ns() - since) / 1e6;
    wrong = compare(memory, stream);
    std::printf("%s sync of %.0f MiB on a device, from a device: joined in %.0f ms %s\n", wrong.empty() ? "ok" : "FAIL",
                static_cast<double>(kBytes) / (1 << 20), ms, wrong.c_str());
  } else {
    must(rhz_state_commit(comm, 7), "rhz_state_commit");
    std::puts("founded");
    std::fflush(stdout);
    for (uint32_t entered = 0; entered == 0;) {
      rhz_op* op = nullptr;
      must(rhz_admit(comm, &op), "rhz_admit");
      must(rhz_op_wait(op, 60000, RHZ_WAIT_DEFAULT), "rhz_op_wait");
      rhz_op_info info{};
      info.struct_size = sizeof info;
      must(rhz_op_info_get(op, &info), "rhz_op_info_get");
      entered = info.joined;
      (void)rhz_op_release(op);
    }
    wrong = compare(memory, stream);
    if (!wrong.empty()) std::printf("FAIL sync: the member's own tensor: %s\n", wrong.c_str());
  }
  std::fflush(stdout);
  rhz_op* op = nullptr;
  must(rhz_state_verify(comm, &op), "rhz_state_verify");
  must(rhz_op_wait(op, 60000, RHZ_WAIT_DEFAULT), "the digests of both");
  (void)rhz_op_release(op);
  must(rhz_comm_leave(comm, 10000), "rhz_comm_leave");
  rhz_comm_close(comm);
  return wrong.empty() ? 0 : 1;
}

bool check_sync(uint32_t devices) {
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.run_id = "gpu-sync";
  params.world = 1;
  params.max_world = 2;
  rhz_coordinator* coordinator = nullptr;
  if (rhz_coordinator_start(&params, &coordinator) != RHZ_OK) return std::printf("FAIL sync: %s\n", rhz_last_error()), false;
  const std::string address = rhz_coordinator_address(coordinator);
  FILE* const member = start(address, "member", 0);
  char founded[16] = {};
  if (!member || !std::fgets(founded, sizeof founded, member) || std::strcmp(founded, "founded\n") != 0)
    std::printf("FAIL sync: the member has not founded the run: %s\n", founded);
  FILE* const joiner = start(address, "joiner", devices > 1 ? 1 : 0);
  const bool joined = ends_well(joiner), stayed = ends_well(member);
  rhz_coordinator_stop(coordinator);
  return joined && stayed;
}

}  // namespace rhz::gpu
