#include "tests/gpu/rank.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace rhz::gpu {
namespace {

void must(rhz_status status, const char* what) {
  if (status == RHZ_OK) return;
  std::printf("FAIL %s: %s\n", what, rhz_last_error());
  std::fflush(stdout);
  std::_Exit(1);
}

}  // namespace

Rank::Rank(const Setting& setting) : setting_(setting) {
  if (!begin(setting.device)) {
    std::printf("FAIL device %d: there is none\n", setting.device);
    std::_Exit(1);
  }
  stream_ = make_stream();
  rhz_comm_params params{};
  params.struct_size = sizeof params;
  params.coordinator = setting.coordinator.c_str();
  params.run_id = "gpu";
  params.slot_plus_one = setting.slot + 1;
  must(rhz_comm_create(&params, &comm_), "rhz_comm_create");
  must(rhz_comm_join(comm_, 60000), "rhz_comm_join");
}

Rank::~Rank() {
  if (rhz_comm_leave(comm_, 10000) != RHZ_OK) std::fprintf(stderr, "leave: %s\n", rhz_last_error());
  rhz_comm_close(comm_);
}

void Rank::check(const std::string& name, const std::string& wrong) {
  if (wrong.empty()) {
    std::printf("ok %s\n", name.c_str());
  } else {
    std::printf("FAIL %s: %s\n", name.c_str(), wrong.c_str());
    failed_ = true;
  }
  std::fflush(stdout);
}

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

std::string outcome(rhz_status submitted, rhz_op* op, rhz_status expected) {
  if (submitted != RHZ_OK) {
    return submitted == expected ? "" : std::string("refused: ") + rhz_last_error();
  }
  const rhz_status status = rhz_op_wait(op, 60000, RHZ_WAIT_DEFAULT);
  std::string wrong;
  if (status != expected)
    wrong = std::string("ended as ") + rhz_status_text(status) + ": " + rhz_last_error();
  if (status != RHZ_PENDING) (void)rhz_op_release(op);
  return wrong;
}

}  // namespace rhz::gpu
