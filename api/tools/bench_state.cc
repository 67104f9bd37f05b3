// `rhizome bench attach` and `bench snapshot`: a vault in this process, one trainer after the
// other.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "api/tools/bench.h"
#include "api/tools/bench_world.h"
#include "api/tools/commands.h"
#include "api/tools/text.h"
#include "recovery/vault/server.h"
#include "runtime/wire/frame.h"

namespace rhz::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kPatienceNs = 120'000'000'000;

// On a thread, for the trainers that are children of this process.
class BenchVault {
 public:
  static Result<std::unique_ptr<BenchVault>> start() {
    recovery::VaultServerOptions options;
    options.name = "rhizome-vault-bench-" + std::to_string(getpid());
    options.run = wire::run_hash("bench");
    auto server = recovery::VaultServer::open(options);
    if (!server) return server.status();
    setenv("RHZ_VAULT", options.name.c_str(), 1);
    return std::unique_ptr<BenchVault>(new BenchVault(std::move(server).value()));
  }
  ~BenchVault() {
    const uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }

 private:
  explicit BenchVault(recovery::VaultServer server)
      : server_(std::move(server)),
        stop_(eventfd(0, EFD_CLOEXEC)),
        thread_([this] { (void)server_.run(stop_.get()); }) {}
  recovery::VaultServer server_;
  Fd stop_;
  std::thread thread_;
};

// A trainer, until it has said @ready (and is then killed) or has ended.  False: it failed.
bool one_life(const StateOptions& o, const char* kind, std::vector<std::string>& rows) {
  WorldOptions world;
  world.rank.kind = kind;
  world.rank.plan = std::to_string(o.bytes);
  world.rank.ranks = 1;
  world.rank.before = o.reps;
  world.rank.after = o.check ? 1 : 0;
  auto started = BenchWorld::start(world);
  if (!started) return complain("bench", started.status().text()) == 0;
  bool ready = false, failed = false;
  auto hear = [&](uint32_t, std::string_view line) {
    ready |= line.starts_with("@ready");
    failed |= line.starts_with("@fail");
    if (line.starts_with("@row")) rows.emplace_back(line);
    if (line.starts_with("@fail")) complain("bench", std::string(line));
  };
  started.value()->pump(monotonic_ns() + kPatienceNs, hear, [&] { return ready || failed; });
  return ready && !failed;  // BenchWorld kills it
}

std::vector<double> column(const std::vector<std::string>& rows, const char* key) {
  std::vector<double> values;
  for (const std::string& row : rows) values.push_back(number(row, key));
  return values;
}

double median(const std::vector<std::string>& rows, const char* key) {
  return percentile(column(rows, key), 50);
}

double most(const std::vector<std::string>& rows, const char* key) {
  return percentile(column(rows, key), 100);
}

uint64_t total(const std::vector<std::string>& rows, const char* key) {
  uint64_t sum = 0;
  for (const std::string& row : rows) sum += whole(row, key);
  return sum;
}

void print_attach(const StateOptions& o, const std::vector<std::string>& rows) {
  if (o.json) {
    const Json row{{"bench", "attach"},
                   {"bytes", o.bytes},
                   {"checked", o.check},
                   {"kills", rows.size()},
                   {"median_ms", median(rows, "attach_us") / 1e3},
                   {"max_ms", most(rows, "attach_us") / 1e3},
                   {"wrong", total(rows, "wrong")}};
    std::printf("%s\n", row.dump().c_str());
    return;
  }
  std::printf("attach to %s, %zu kills, digest %s: median %.2f ms, most %.2f ms; wrong %llu\n",
              bytes_text(o.bytes).c_str(), rows.size(), o.check ? "compared" : "not compared",
              median(rows, "attach_us") / 1e3, most(rows, "attach_us") / 1e3,
              static_cast<unsigned long long>(total(rows, "wrong")));
}

void print_snapshot(const StateOptions& o, const std::vector<std::string>& rows) {
  const double gb = static_cast<double>(o.bytes) / 1e9;
  auto rate = [&](const char* key) { return gb / (median(rows, key) / 1e6); };
  if (o.json) {
    const Json row{{"bench", "snapshot"},
                   {"bytes", o.bytes},
                   {"checked", o.check},
                   {"reps", rows.size()},
                   {"stall_median_us", median(rows, "stall_us")},
                   {"stall_max_us", most(rows, "stall_us")},
                   {"copy_gbs", rate("copy_us")},
                   {"restore_gbs", rate("restore_us")},
                   {"memcpy_gbs", rate("memcpy_us")},
                   {"restore_of_memcpy", rate("restore_us") / rate("memcpy_us")},
                   {"wrong", total(rows, "wrong")}};
    std::printf("%s\n", row.dump().c_str());
    return;
  }
  std::printf("snapshot of %s, %zu times: stall median %.0f us, most %.0f us; copy %.2f GB/s\n",
              bytes_text(o.bytes).c_str(), rows.size(), median(rows, "stall_us"),
              most(rows, "stall_us"), rate("copy_us"));
  std::printf(
      "restore, digests %s: %.2f GB/s, memcpy %.2f GB/s in the same run: %.0f %%; wrong %llu\n",
      o.check ? "compared" : "not compared", rate("restore_us"), rate("memcpy_us"),
      100 * rate("restore_us") / rate("memcpy_us"),
      static_cast<unsigned long long>(total(rows, "wrong")));
}

}  // namespace

int bench_state(const StateOptions& o) {
  auto vault = BenchVault::start();
  if (!vault) return complain("bench", vault.status().text());
  std::vector<std::string> rows;
  // The first life attaches to nothing.
  const uint32_t lives = o.attach ? o.reps + 1 : 1;
  for (uint32_t life = 0; life < lives; ++life)
    if (!one_life(o, o.attach ? "attach" : "snapshot", rows)) return kFailure;
  if (o.attach)
    print_attach(o, rows);
  else
    print_snapshot(o, rows);
  return total(rows, "wrong") == 0 && rows.size() == o.reps ? 0 : kFailure;
}

}  // namespace rhz::tools
