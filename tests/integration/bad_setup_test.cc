// Set-ups that cannot work: wrong address, run, port, world, tensors; and ranks that do not agree
// on an op.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

rhz_status join(const rhz_comm_params& params, rhz_comm** out) {
  const rhz_status status = rhz_comm_create(&params, out);
  return status == RHZ_OK ? rhz_comm_join(*out, kPatienceMs) : status;
}

// A port that nobody listens on: bound, and not listening, for as long as this lives.
class DeadPort {
 public:
  DeadPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    text_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~DeadPort() { close(fd_); }
  const std::string& text() const { return text_; }

 private:
  int fd_;
  std::string text_;
};

// So many more files can be opened, as long as this lives.
class FilesLeft {
 public:
  explicit FilesLeft(int left) {
    getrlimit(RLIMIT_NOFILE, &before_);
    int fd = 0;
    for (; left > 0 || fcntl(fd, F_GETFD) >= 0; ++fd) left -= fcntl(fd, F_GETFD) < 0;
    const rlimit now{static_cast<rlim_t>(fd), before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~FilesLeft() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(BadSetup, WithoutFilesIsAnErrorOfTheSystemThatIsSaid) {
  constexpr int kEnough = 64;
  const auto expect_said = [](rhz_status status, int left) {
    if (status == RHZ_OK) return;
    EXPECT_EQ(status, RHZ_ERR_IO) << left << " left: " << rhz_last_error();
    EXPECT_NE(std::string(rhz_last_error()).find("open files"), std::string::npos) << left << " left: " << rhz_last_error();
  };
  LocalRun run(1);
  for (int left = 0; left <= kEnough; left += left < 24 ? 1 : 40) {
    const FilesLeft files(left);
    const auto params = comm_params(run.address());
    rhz_comm* comm = nullptr;
    const rhz_status created = rhz_comm_create(&params, &comm);
    expect_said(created, left);
    rhz_comm_close(comm);
    auto own = sized<rhz_coordinator_params>();
    own.world = 1;
    rhz_coordinator* coordinator = nullptr;
    const rhz_status started = rhz_coordinator_start(&own, &coordinator);
    expect_said(started, left);
    rhz_coordinator_stop(coordinator);
    EXPECT_TRUE(left != kEnough || (created == RHZ_OK && started == RHZ_OK));
  }
}

TEST(BadSetup, AnAddressThatNobodyListensOnIsUnreachable) {
  setenv("RHZ_CONNECT_TIMEOUT_MS", "200", 1);
  const DeadPort port;
  rhz_comm* comm = nullptr;
  expect_refused(join(comm_params(port.text().c_str()), &comm), RHZ_ERR_UNREACHABLE,
                 {"no coordinator answers at " + port.text(), "rhizome coordinator"});
  rhz_comm_close(comm);
  unsetenv("RHZ_CONNECT_TIMEOUT_MS");
}

TEST(BadSetup, ATransportWhoseModuleIsMissingSaysWhatToInstall) {
  LocalRun run(1);
  setenv("RHZ_MODULE_DIR", "/nowhere", 1);
  for (const auto& [name, package] :
       {std::pair{"ucx", "libucx-dev"}, {"ofi", "libfabric-dev"}, {"libfabric", "libfabric-dev"}}) {
    setenv("RHZ_TRANSPORT", name, 1);
    rhz_comm* comm = nullptr;
    const auto params = comm_params(run.address());
    expect_refused(rhz_comm_create(&params, &comm), RHZ_ERR_IO,
                   {"RHZ_TRANSPORT=", "/nowhere/librhizome-", package});
    EXPECT_EQ(comm, nullptr);
  }
  setenv("RHZ_TRANSPORT", "infiniband", 1);
  rhz_comm* comm = nullptr;
  const auto params = comm_params(run.address());
  expect_refused(rhz_comm_create(&params, &comm), RHZ_ERR_ARGUMENT,
                 {"RHZ_TRANSPORT", "infiniband", "ucx", "ofi"});
  unsetenv("RHZ_TRANSPORT");
  unsetenv("RHZ_MODULE_DIR");
}

TEST(BadSetup, AnAddressThatIsNoneSaysHowOneLooks) {
  rhz_comm* comm = nullptr;
  for (const char* address : {"nonsense", "127.0.0.1:", "127.0.0.1:notaport", "127.0.0.1:99999"}) {
    const auto params = comm_params(address);
    expect_refused(rhz_comm_create(&params, &comm), RHZ_ERR_ARGUMENT, {address, "HOST:PORT"});
    EXPECT_EQ(comm, nullptr);
  }
  unsetenv("RHZ_COORDINATOR");
  const auto params = comm_params(nullptr);
  expect_refused(rhz_comm_create(&params, &comm), RHZ_ERR_ARGUMENT, {"RHZ_COORDINATOR"});
}

TEST(BadSetup, AnAdvertisedAddressThatIsEverywhereIsRefused) {
  LocalRun run(1);
  for (const char* address : {"0.0.0.0", "[::]", ":7000"}) {
    auto params = comm_params(run.address());
    params.advertise = address;
    rhz_comm* comm = nullptr;
    expect_refused(rhz_comm_create(&params, &comm), RHZ_ERR_ARGUMENT, {address});
    EXPECT_EQ(comm, nullptr);
  }
}

TEST(BadSetup, AnotherRunIsRefusedByName) {
  LocalRun run(1);
  auto params = comm_params(run.address());
  params.run_id = "yesterday";
  rhz_comm* comm = nullptr;
  expect_refused(join(params, &comm), RHZ_ERR_RUN_ID, {"\"default\"", "\"yesterday\""});
  rhz_comm_close(comm);
}

TEST(BadSetup, APortInUseIsNamed) {
  LocalRun run(1);
  auto served = sized<rhz_coordinator_params>();
  served.listen = run.address();
  served.world = 1;
  rhz_coordinator* coordinator = nullptr;
  expect_refused(rhz_coordinator_start(&served, &coordinator), RHZ_ERR_ADDRESS_IN_USE,
                 {run.address(), "choose another port"});
  EXPECT_EQ(coordinator, nullptr);
  auto params = comm_params(run.address());
  params.listen = run.address();
  rhz_comm* comm = nullptr;
  expect_refused(rhz_comm_create(&params, &comm), RHZ_ERR_ADDRESS_IN_USE, {run.address()});
}

TEST(BadSetup, AWorldThatCannotBeIsRefused) {
  rhz_coordinator* coordinator = nullptr;
  auto with = [&](uint32_t world, uint32_t max_world, uint32_t min_world, uint32_t suspicion_ms) {
    auto params = sized<rhz_coordinator_params>();
    params.world = world;
    params.max_world = max_world;
    params.min_world = min_world;
    params.suspicion_ms = suspicion_ms;
    return rhz_coordinator_start(&params, &coordinator);
  };
  expect_refused(with(0, 0, 0, 0), RHZ_ERR_ARGUMENT, {"world is 0"});
  expect_refused(with(4, 2, 0, 0), RHZ_ERR_ARGUMENT, {"max_world", "(4)"});
  expect_refused(with(4, 0, 5, 0), RHZ_ERR_ARGUMENT, {"min_world"});
  expect_refused(with(4, 0, 0, 1), RHZ_ERR_ARGUMENT, {"suspicion_ms", "50"});
}

TEST(BadSetup, AWayToVerifyThatThereIsNotIsRefused) {
  rhz_coordinator* coordinator = nullptr;
  auto params = sized<rhz_coordinator_params>();
  params.world = 1;
  params.verify = 9;
  expect_refused(rhz_coordinator_start(&params, &coordinator), RHZ_ERR_ARGUMENT, {"verify is 9"});
  params.verify = RHZ_VERIFY_DEFAULT;
  ::setenv("RHZ_VERIFY", "some", 1);
  expect_refused(rhz_coordinator_start(&params, &coordinator), RHZ_ERR_ARGUMENT,
                 {"RHZ_VERIFY=some", "off, sampled, all"});
  ::unsetenv("RHZ_VERIFY");
  params.protection = 3;
  expect_refused(rhz_coordinator_start(&params, &coordinator), RHZ_ERR_ARGUMENT, {"protection is 3"});
}

TEST(BadSetup, OnePeerMoreThanTheWorldHasSlotsIsToldSo) {
  LocalRun run(1);
  const auto comms = run.found();
  rhz_comm* comm = run.create();
  expect_refused(rhz_comm_join(comm, kPatienceMs), RHZ_ERR_WORLD_FULL,
                 {"all 1 slots", "--max-world"});
  rhz_comm* elsewhere = run.create(10);
  expect_refused(rhz_comm_join(elsewhere, kPatienceMs), RHZ_ERR_ARGUMENT, {"slot 9", "1 slots"});
  expect_sum(comms);
}

// Instead of a dtype: another op altogether.
constexpr uint32_t kBarrier = 1000, kAdmit = 1001, kVerify = 1002;

rhz_status submit(rhz_comm* comm, const rhz_allreduce_params& params, rhz_op** op) {
  if (params.dtype == kBarrier) return rhz_barrier(comm, op);
  if (params.dtype == kAdmit) return rhz_admit(comm, op);
  if (params.dtype == kVerify) return rhz_state_verify(comm, op);
  return rhz_allreduce(comm, &params, op);
}

struct Difference {
  const char* name;
  void (*change)(rhz_allreduce_params&);
  const char* one;    // in the text: what the first rank submitted …
  const char* other;  // … and the second
};

std::ostream& operator<<(std::ostream& out, const Difference& d) { return out << d.name; }

class Mismatch : public testing::TestWithParam<std::tuple<Difference, uint64_t>> {};

TEST_P(Mismatch, IsTheSameErrorOnBothRanksAndNamesBoth) {
  const auto& [difference, count] = GetParam();
  LocalRun run(2);
  const auto comms = run.found();
  std::vector<float> send(2 * count, 1.0f),
      recv[2] = {std::vector<float>(2 * count), std::vector<float>(2 * count)};
  rhz_op* ops[2];
  for (int i = 0; i < 2; ++i) {
    auto params = floats(send.data(), recv[i].data(), count);
    if (i == 1) difference.change(params);
    ASSERT_EQ(submit(comms[i], params, &ops[i]), RHZ_OK) << rhz_last_error();
  }
  std::string text[2];
  for (int i = 0; i < 2; ++i) EXPECT_EQ(outcome(ops[i], &text[i]), RHZ_ERR_MISMATCH) << text[i];
  EXPECT_EQ(text[0], text[1]);
  for (const char* word : {difference.one, difference.other, "slot 0", "slot 1"})
    EXPECT_NE(text[0].find(word), std::string::npos) << word << " is not in: " << text[0];
  expect_sum(comms);
}

INSTANTIATE_TEST_SUITE_P(
    Ops, Mismatch,
    testing::Combine(
        testing::Values(
            Difference{"count", [](auto& p) { p.count_elems = 77; }, "all-reduce of 77 ", "f32"},
            Difference{"no_elements", [](auto& p) { p.count_elems = 0; }, "all-reduce of 0 ",
                       "f32"},
            Difference{"dtype", [](auto& p) { p.dtype = RHZ_DTYPE_I32; }, "f32", "i32"},
            Difference{"dtype_and_count",
                       [](auto& p) {
                         p.dtype = RHZ_DTYPE_F16;
                         p.count_elems *= 2;
                       },
                       "f32", "f16"},
            Difference{"redop", [](auto& p) { p.redop = RHZ_REDOP_MAX; }, "sum", "max"},
            Difference{"rebuild", [](auto& p) { p.rebuild = RHZ_REBUILD_KEEP; }, "strict", "keep"},
            Difference{"kind", [](auto& p) { p.dtype = kBarrier; }, "all-reduce", "barrier"},
            Difference{"boundary", [](auto& p) { p.dtype = kAdmit; }, "all-reduce", "admit"},
            Difference{"check", [](auto& p) { p.dtype = kVerify; }, "all-reduce", "verify"}),
        testing::Values(100, 200'000)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) + "_of_" +
             std::to_string(std::get<1>(info.param));
    });

}  // namespace
}  // namespace rhz::test
