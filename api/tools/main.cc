// The command `rhizome`: parses, and hands over to one file per subcommand.
#include <rhizome/rhizome.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string_view>

#include "api/tools/commands.h"

namespace rhz::tools {
namespace {

constexpr int kParsed = -1;

// The macro returns CLI11's own status when there is nothing to run: 0 after --help, above it for a
// bad command line.
int parse(CLI::App& app, int argc, char** argv) {
  CLI11_PARSE(app, argc, argv);
  return kParsed;
}

std::string names_of_commands(const CLI::App& app) {
  std::string all;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!sub->get_group().empty()) all += (all.empty() ? "" : ", ") + sub->get_name();
  return all;
}

// A bad command line: the command that it is about, what is wrong with it, where to read more.
std::string usage_text(const CLI::App* app, const CLI::Error& error) {
  std::string name = "rhizome";
  for (; !app->get_subcommands().empty(); name += " " + app->get_name())
    app = app->get_subcommands().front();
  std::string what = error.what();
  const std::vector<std::string> rest = app->remaining();
  if (const std::string commands = names_of_commands(*app); !commands.empty()) {
    what = rest.empty() ? "say which command: " + commands
                        : "there is no command \"" + rest.front() + "\"; there are " + commands;
  }
  return name + ": " + what + "; see `" + name + " --help`\n";
}

int run(int argc, char** argv) {
  // What follows `--` is another program's command line, and none of our business.
  int own = 0;
  while (own < argc && std::string_view(argv[own]) != "--") ++own;
  std::vector<std::string> command(argv + std::min(own + 1, argc), argv + argc);

  int exit_status = 0;
  CLI::App app("Collective communication that survives its peers.", "rhizome");
  app.set_version_flag("--version", std::string("rhizome\n") + rhz_build_info());
  app.footer(
      "example: four peers on this host, restarted when they die\n"
      "  rhizome run -n 4 --restart -- ./trainer\n"
      "`rhizome COMMAND --help` tells the options of a command.");
  app.failure_message(usage_text);
  app.require_subcommand(1);
  if (own < argc && std::string_view(argv[1]) != "run" && std::string_view(argv[1]) != "chaos")
    return complain("", "only `rhizome run` and `rhizome chaos` take a command after --", kUsage);
  add_coordinator(app, exit_status);
  add_run(app, command, exit_status);
  add_chaos(app, command, exit_status);
  add_status(app, exit_status);
  add_plan(app, exit_status);
  add_vault(app, exit_status);
  add_bench(app, exit_status);
  const int parsed = parse(app, own, argv);
  if (parsed != kParsed) return parsed == 0 ? 0 : kUsage;
  return exit_status;
}

}  // namespace

int complain(const char* command, const std::string& text, int status) {
  std::fflush(stdout);
  std::fprintf(stderr, "rhizome%s%s: %s\n", *command ? " " : "", command, text.c_str());
  return status;
}

}  // namespace rhz::tools

int main(int argc, char** argv) {
  // A reader that went away (`| head`) is an error of a write, not the end of a supervisor.
  std::signal(SIGPIPE, SIG_IGN);
  return rhz::tools::run(argc, argv);
}
