// The program that the integration tests start: a coordinator, or a rank that does what its
// standard input says.
//
//   actor coordinator listen=127.0.0.1:0 world=4 …       actor rank coordinator=HOST:PORT …
//   actor kept coordinator=HOST:PORT …
//
// It uses rhizome.h alone, as a trainer would.  Every command is answered by one line.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "tests/integration/kept_trainer.h"
#include "tests/integration/rank.h"

namespace rhz::test {
namespace {

const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

int run_coordinator(const Line& options) {
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.listen = or_null(options.text("listen"));
  params.log = or_null(options.text("log"));
  params.run_id = or_null(options.text("run"));
  params.world = static_cast<uint32_t>(options.number("world"));
  params.max_world = static_cast<uint32_t>(options.number("max_world"));
  params.min_world = static_cast<uint32_t>(options.number("min_world"));
  params.suspicion_ms = static_cast<uint32_t>(options.number("suspicion_ms"));
  params.verify = static_cast<uint32_t>(options.number("verify"));
  params.protection = static_cast<uint32_t>(options.number("protection"));
  rhz_coordinator* coordinator = nullptr;
  const rhz_status status = rhz_coordinator_start(&params, &coordinator);
  if (status != RHZ_OK) {
    std::printf("started status=%d text=%s\n", status, rhz_last_error());
    return 1;
  }
  std::printf("started status=0 address=%s\n", rhz_coordinator_address(coordinator));
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
  }
  rhz_coordinator_stop(coordinator);
  return 0;
}

template <class T>
int run_rank(const Line& options) {
  T rank(options);
  for (std::string line; std::getline(std::cin, line);) {
    if (!rank.obey(parse_line(line))) return 0;
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace rhz::test

int main(int argc, char** argv) {
  std::string words;
  for (int i = 1; i < argc; ++i) words += std::string(i > 1 ? " " : "") + argv[i];
  const auto options = rhz::test::parse_line(words);
  if (options.verb == "coordinator") return rhz::test::run_coordinator(options);
  if (options.verb == "rank") return rhz::test::run_rank<rhz::test::Rank>(options);
  if (options.verb == "kept") return rhz::test::run_rank<rhz::test::KeptTrainer>(options);
  std::fprintf(stderr, "usage: actor coordinator|rank|kept key=value…\n");
  return 2;
}
