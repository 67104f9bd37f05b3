// `rhizome bench …`: the command lines.
#include "api/tools/bench.h"

#include <rhizome/rhizome.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "api/tools/bench_values.h"
#include "api/tools/commands.h"
#include "api/tools/text.h"
#include "collectives/reduce/dtype.h"
#include "runtime/transport/open.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kMostBytes = uint64_t{16} << 30;

std::string list_of(uint32_t count, const char* (*name)(uint32_t)) {
  std::string all;
  for (uint32_t i = 1; i <= count; ++i) all += std::string(i > 1 ? ", " : "") + name(i);
  return all;
}
const char* dtype_name(uint32_t i) { return reduce::name(static_cast<reduce::Dtype>(i)); }
const char* redop_name(uint32_t i) { return reduce::name(static_cast<reduce::RedOp>(i)); }

Status check(const Reduction& r, uint32_t ranks, const std::string& transport,
             const std::vector<uint64_t>& sizes) {
  const uint32_t dtype = dtype_number(r.dtype), redop = redop_number(r.redop);
  if (!dtype) {
    return {Code::kArgument,
            "unknown dtype \"" + r.dtype + "\"; there are " + list_of(reduce::kDtypes, dtype_name)};
  }
  if (!redop) {
    return {Code::kArgument, "unknown reduction \"" + r.redop + "\"; there are " +
                                 list_of(reduce::kRedOps, redop_name)};
  }
  if (!reduce::valid(dtype, redop))
    return {Code::kArgument, "the bitwise reduction " + r.redop + " is not defined for " + r.dtype};
  if (!rebuild_number(r.rebuild))
    return {Code::kArgument, "unknown rebuild mode \"" + r.rebuild + "\"; there are strict, keep"};
  if (const auto choice = parse_transport(transport); !choice) return choice.status();
  if (ranks < 1 || ranks > kMostRanks)
    return {Code::kArgument, format("-n must be from 1 to %u", kMostRanks)};
  for (uint64_t bytes : sizes) {
    if (bytes == 0 || bytes > kMostBytes || bytes % dtype_bytes(r.dtype) != 0) {
      return {Code::kArgument, format("%llu bytes are no whole number of %s elements up to 16 GiB",
                                      static_cast<unsigned long long>(bytes), r.dtype.c_str())};
    }
  }
  return Status::ok();
}

// "4KiB,64MiB" → numbers; the reason why not is left to check().
bool parse_sizes(const std::string& text, std::vector<uint64_t>& out) {
  out.clear();
  for (const std::string& part : split(text, ',')) {
    const auto bytes = parse_bytes(part);
    if (!bytes) return false;
    out.push_back(*bytes);
  }
  return true;
}

void add_reduction(CLI::App* sub, Reduction& r) {
  sub->add_option("--dtype", r.dtype, "i8 … u64, f16, bf16, f32, f64")->capture_default_str();
  sub->add_option("--redop", r.redop, "sum, avg, prod, min, max, band, bor, bxor")
      ->capture_default_str();
  sub->add_option("--rebuild", r.rebuild, "strict, keep")->capture_default_str();
  sub->add_flag("--in-place", r.in_place, "the input is overwritten");
  sub->add_flag("--huge-pages", r.huge_pages,
                "ask for huge pages under the buffers: a killed rank's memory is then gone sooner");
}

int size_error(const char* command, const std::string& text) {
  return complain(command, "\"" + text + "\" is no size; say 4096, 64KiB, 64MiB, 1GiB", kUsage);
}

void add_allreduce(CLI::App* bench, int& exit_status) {
  auto o = std::make_shared<AllreduceOptions>();
  auto sizes = std::make_shared<std::string>("64MiB");
  CLI::App* sub = bench->add_subcommand(
      "allreduce", "Time and bandwidth of all-reduces between N processes of this host.");
  sub->add_option("-n,--ranks", o->ranks, "processes")->capture_default_str();
  sub->add_option("--bytes", *sizes, "sizes, with commas")->capture_default_str();
  sub->add_option("--transport", o->transport, "auto, tcp, shm, ucx, ofi")->envname("RHZ_TRANSPORT")->capture_default_str();
  sub->add_option("--verify", o->verify, "digests of results: off, sampled, all (default: RHZ_VERIFY)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, uint32_t>{
          {"off", RHZ_VERIFY_OFF}, {"sampled", RHZ_VERIFY_SAMPLED}, {"all", RHZ_VERIFY_ALL}}));
  sub->add_option("--protection", o->protection,
                  "off: nothing is kept for a death, to see what it costs (default: RHZ_PROTECTION)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, uint32_t>{{"on", RHZ_PROTECTION_ON}, {"off", RHZ_PROTECTION_OFF}}));
  sub->add_option("--iterations", o->iterations, "per size (default: by the size)");
  sub->add_flag("--json", o->json, "one object per size");
  add_reduction(sub, o->reduction);
  sub->footer(
      "Under each size: what the ranks measured of their links, and how long each algorithm should "
      "take by that.\nRHZ_ALGORITHM=ring (direct, doubling, halving, tree, hierarchical) overrides the choice.\n"
      "example: rhizome bench allreduce -n 4 --bytes 4KiB,1MiB,64MiB --transport tcp "
      "--dtype f32 --json");
  sub->callback([o, sizes, &exit_status] {
    const char* name = "bench allreduce";
    if (!parse_sizes(*sizes, o->bytes)) {
      exit_status = size_error(name, *sizes);
      return;
    }
    const Status checked = check(o->reduction, o->ranks, o->transport, o->bytes);
    exit_status = checked ? bench_allreduce(*o) : complain(name, checked.text(), kUsage);
  });
}

void add_recovery(CLI::App* bench, int& exit_status) {
  auto o = std::make_shared<RecoveryOptions>();
  auto size = std::make_shared<std::string>("64MiB");
  o->reduction.rebuild = "keep";
  CLI::App* sub = bench->add_subcommand(
      "recovery", "What the loss of a random rank at a random moment of an all-reduce costs.");
  sub->add_option("-n,--ranks", o->ranks, "processes")->capture_default_str();
  sub->add_option("--bytes", *size, "size of the op")->capture_default_str();
  sub->add_option("--transport", o->transport, "auto, tcp, shm, ucx, ofi")->envname("RHZ_TRANSPORT")->capture_default_str();
  sub->add_option("--fault", o->fault, "kill: SIGKILL; stop: SIGSTOP")
      ->check(CLI::IsMember({"kill", "stop"}))
      ->capture_default_str();
  sub->add_option("--reps", o->reps, "each with new processes")->capture_default_str();
  sub->add_option("--seed", o->seed, "of victims and moments (default: random)");
  sub->add_option("--kill-phase", o->kill_phase, "any, first-half, second-half: of the op")
      ->check(CLI::IsMember({"any", "first-half", "second-half"}))
      ->capture_default_str();
  sub->add_option("--suspicion-ms", o->suspicion_ms, "of the run")->capture_default_str();
  sub->add_option("--stop-ms", o->stop_ms,
                  "with --fault stop: thawed after this (default: once the others are done)");
  sub->add_option("--log-dir", o->log_dir,
                  "folder of the decision log (default: the system's "
                  "for temporary files)");
  sub->add_flag("--json", o->json, "one object");
  CLI::Option* source = sub->add_option(
      "--source", o->source,
      "replica, attach, vault, shards, shadow, average, disk: kills peers of a pipeline trainer instead, and times what "
      "gives its successor the state of its stage");
  sub->add_option("--trainer", o->trainer, "with --source: path of pipeline_lm")->needs(source);
  sub->add_option("--snapshot-every", o->snapshot_every, "with --source: steps, between two checkpoints too, and two protected revisions "
                  "(default: 1; for shards 5)")
      ->needs(source)
      ->check(CLI::PositiveNumber);
  sub->add_option("--batch", o->batch, "with --source: sequences of a micro-batch, by which steps get longer")
      ->needs(source)
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  add_reduction(sub, o->reduction);
  sub->footer("example: rhizome bench recovery -n 4 --bytes 64MiB --fault kill --reps 20 --json\n"
              "example: rhizome bench recovery --source vault --reps 20\n"
              "example: rhizome bench recovery --source replica --batch 8   what a death costs its step");
  sub->callback([o, size, &exit_status] {
    const char* name = "bench recovery";
    if (!o->source.empty() && o->reps > 0) {
      exit_status = bench_source(*o);
      return;
    }
    std::vector<uint64_t> sizes;
    if (!parse_sizes(*size, sizes) || sizes.size() != 1) {
      exit_status = size_error(name, *size);
      return;
    }
    o->bytes = sizes.front();
    Status checked = check(o->reduction, o->ranks, o->transport, sizes);
    if (checked && o->ranks < 2)
      checked = Status(Code::kArgument, "-n must be at least 2: one rank is lost");
    if (checked && o->reps == 0) checked = Status(Code::kArgument, "--reps must be at least 1");
    exit_status = checked ? bench_recovery(*o) : complain(name, checked.text(), kUsage);
  });
}

void add_convergence(CLI::App* bench, int& exit_status) {
  auto o = std::make_shared<ConvergenceOptions>();
  auto methods = std::make_shared<std::string>();
  std::string names;
  for (const Method& method : convergence_methods())
    names += std::string(names.empty() ? "" : ", ") + method.name;
  CLI::App* sub = bench->add_subcommand(
      "convergence",
      "Loss against steps and against time of a pipeline whose stages get lost, for each way to get them back.");
  sub->add_option("--methods", *methods, "some of " + names + " (default: all)");
  sub->add_option("--stages", o->stages, "each has one peer")->check(CLI::Range(4, 8))->capture_default_str();
  sub->add_option("--steps", o->steps, "of a run")->check(CLI::Range(30, 100000))->capture_default_str();
  sub->add_option("--failures", o->failures, "of a run, of random inner stages at random steps")
      ->check(CLI::Range(0, 60))
      ->capture_default_str();
  sub->add_option("--seeds", o->seeds, "runs of each method")->check(CLI::PositiveNumber)->capture_default_str();
  sub->add_option("--seed", o->seed, "the first one, of model, text and failures")->capture_default_str();
  sub->add_option("--batch", o->batch, "sequences of a micro-batch")->capture_default_str();
  sub->add_option("--context", o->context, "bytes of a sequence")->capture_default_str();
  sub->add_option("--layers", o->layers, "of a stage; at most 8 of all")->capture_default_str();
  sub->add_option("--width", o->width, "of the model, a multiple of 4")->capture_default_str();
  sub->add_option("--micro-batches", o->micro_batches, "of a step")->capture_default_str();
  sub->add_option("--lr", o->learning_rate, "learning rate")->capture_default_str();
  sub->add_option("--checkpoint-every", o->checkpoint_every, "steps, of the method checkpoint")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--loss", o->loss, "to be reached (default: what no-fault has after 80 % of its steps)");
  sub->add_option("--trainer", o->trainer, "path of pipeline_lm");
  sub->add_option("--svg", o->svg, "file for a plot");
  sub->add_flag("--json", o->json, "one object, with every step");
  sub->footer("example: rhizome bench convergence --seeds 3 --svg convergence.svg");
  sub->callback([o, methods, names, &exit_status] {
    if (!methods->empty()) o->methods = split(*methods, ',');
    for (const std::string& name : o->methods) {
      const auto& all = convergence_methods();
      if (std::none_of(all.begin(), all.end(), [&](const Method& m) { return name == m.name; })) {
        exit_status = complain("bench convergence", "unknown method \"" + name + "\"; there are " + names, kUsage);
        return;
      }
    }
    exit_status = bench_convergence(*o);
  });
}

void add_state(CLI::App* bench, bool attach, int& exit_status) {
  auto o = std::make_shared<StateOptions>();
  auto size = std::make_shared<std::string>("1GiB");
  o->attach = attach;
  o->reps = attach ? 20 : 5;
  CLI::App* sub = bench->add_subcommand(
      attach ? "attach" : "snapshot",
      attach ? "Time in which a trainer that is started again has its memory back from a vault."
             : "Stall of rhz_snapshot, and the rate of rhz_restore beside memcpy's.");
  sub->add_option("--bytes", *size, "size of the state")->capture_default_str();
  sub->add_option("--reps", o->reps, attach ? "kills" : "repetitions")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_flag("!--unchecked", o->check, "compare no digests");
  if (!attach) {
    CLI::Option* pipeline = sub->add_flag(
        "--pipeline", o->pipeline,
        "of the stages of a pipeline trainer instead: steps beside a snapshot, and steps beside none, by turns");
    sub->add_option("--steps", o->steps, "with --pipeline")
        ->needs(pipeline)
        ->check(CLI::Range(20, 1000000))
        ->capture_default_str();
    sub->add_option("--trainer", o->trainer, "with --pipeline: path of pipeline_lm")->needs(pipeline);
  }
  sub->add_flag("--json", o->json, "one object");
  sub->footer(attach ? "example: rhizome bench attach --bytes 1GiB --reps 100 --unchecked --json"
                     : "example: rhizome bench snapshot --bytes 1GiB --reps 5 --json\n"
                       "example: rhizome bench snapshot --pipeline --steps 400");
  sub->callback([o, size, &exit_status] {
    const char* name = o->attach ? "bench attach" : "bench snapshot";
    std::vector<uint64_t> sizes;
    if (o->pipeline) {
      exit_status = bench_snapshot_steps(*o);
      return;
    }
    if (!parse_sizes(*size, sizes) || sizes.size() != 1 || sizes.front() < sizeof(uint64_t)) {
      exit_status = size_error(name, *size);
      return;
    }
    o->bytes = sizes.front() / sizeof(uint64_t) * sizeof(uint64_t);
    exit_status = bench_state(*o);
  });
}

// Hidden: what the others start as their ranks.
void add_rank(CLI::App& app, int& exit_status) {
  auto o = std::make_shared<RankOptions>();
  CLI::App* sub = app.add_subcommand("bench-rank", "One rank of a benchmark.");
  sub->group("");
  sub->add_option("--kind", o->kind)->required();
  sub->add_option("--coordinator", o->coordinator)->required();
  sub->add_option("--plan", o->plan)->required();
  sub->add_option("--slot", o->slot);
  sub->add_option("--ranks", o->ranks);
  sub->add_option("--before", o->before);
  sub->add_option("--after", o->after);
  add_reduction(sub, o->reduction);
  sub->callback([o, &exit_status] { exit_status = bench_rank(*o); });
}

template <class T, size_t kCount>
uint32_t number_of(const std::string& name) {
  for (uint32_t i = 1; i <= kCount; ++i)
    if (name == reduce::name(static_cast<T>(i))) return i;
  return 0;
}

}  // namespace

uint32_t dtype_number(const std::string& name) {
  return number_of<reduce::Dtype, reduce::kDtypes>(name);
}
uint32_t redop_number(const std::string& name) {
  return number_of<reduce::RedOp, reduce::kRedOps>(name);
}
uint32_t rebuild_number(const std::string& name) {
  return name == "strict" ? RHZ_REBUILD_STRICT : name == "keep" ? RHZ_REBUILD_KEEP : 0;
}
uint32_t dtype_bytes(const std::string& name) {
  return static_cast<uint32_t>(reduce::size_of(static_cast<reduce::Dtype>(dtype_number(name))));
}

void add_bench(CLI::App& app, int& exit_status) {
  CLI::App* bench = app.add_subcommand("bench", "Measures; starts its own coordinator and ranks.");
  bench->require_subcommand(1);
  bench->footer("example: rhizome bench allreduce -n 4 --bytes 64MiB");
  add_allreduce(bench, exit_status);
  add_recovery(bench, exit_status);
  add_convergence(bench, exit_status);
  add_state(bench, true, exit_status);
  add_state(bench, false, exit_status);
  add_rank(app, exit_status);
}

}  // namespace rhz::tools
