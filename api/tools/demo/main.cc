// `make demo`: four trainers lose peers and their coordinator, gain others, and end with the same
// bits.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "api/tools/demo/proof.h"
#include "api/tools/demo/table.h"

namespace rhz::demo {
namespace {

constexpr int kListenMs = 5;  // how soon a deadline is noticed
volatile std::sig_atomic_t interrupted = 0;

// A folder for the decision log, gone at the end.
class Folder {
 public:
  Folder() {
    std::error_code error;
    std::string pattern =
        (std::filesystem::temp_directory_path(error) / "rhizome-demo-XXXXXX").string();
    if (mkdtemp(pattern.data())) path_ = pattern;
  }
  ~Folder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

int play(const DemoOptions& o) {
  const Folder folder;
  if (folder.path().empty()) {
    std::fputs("rhizome-demo: cannot make a folder for the decision log; is TMPDIR writable?\n",
               stderr);
    return 1;
  }
  Cast cast(o, folder.path());
  Script script(cast, o);
  Table table(cast, script, o, !o.plain && isatty(STDOUT_FILENO));
  while (!interrupted && script.play()) {
    cast.listen(kListenMs);
    table.show();
  }
  table.show_last();
  if (interrupted) return 130;  // the children die with this process
  std::puts("");
  if (script.failed()) std::printf("FAILED: %s\n", script.failure().c_str());
  bool all = !script.failed();
  for (const Proof& proof : proofs(cast, script, o)) {
    std::printf("%s  %s\n", proof.holds ? "proved: " : "NOT SO: ", proof.text.c_str());
    all &= proof.holds;
  }
  return all ? 0 : 1;
}

int run(int argc, char** argv) {
  DemoOptions o;
  CLI::App app("Trains a language model on four peers while they are killed, frozen and replaced.",
               "rhizome-demo");
  app.add_option("--rhizome", o.rhizome, "path of the program rhizome")->required();
  app.add_option("--trainer", o.trainer, "path of the trainer char_lm")->required();
  app.add_option("--steps", o.steps, "of training")->capture_default_str();
  app.add_option("--min-step-ms", o.min_step_ms, "a step takes at least so long")
      ->capture_default_str();
  app.add_option("--limit", o.limit_s, "seconds for all of it")->capture_default_str();
  app.add_option("--data", o.data, "text to train on (default: the system's licence texts)");
  app.add_option("--seed", o.seed, "of the victims (default: random)");
  app.add_flag("--plain", o.plain, "lines also on a terminal");
  app.footer(
      "example: rhizome-demo --rhizome build/api/tools/rhizome --trainer "
      "build/api/examples/char_lm");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  return play(o);
}

}  // namespace
}  // namespace rhz::demo

int main(int argc, char** argv) { return rhz::demo::run(argc, argv); }
