// The subcommands of `rhizome`, one file each.  Each adds itself to the parser; its body runs when
// the command line was good and leaves the exit status: 0 done, 1 failed, 2 used wrongly.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace rhz::tools {

inline constexpr int kFailure = 1, kUsage = 2;

void add_coordinator(CLI::App& app, int& exit_status);
// `command`: what followed `--`.
void add_run(CLI::App& app, const std::vector<std::string>& command, int& exit_status);
// The same.
void add_chaos(CLI::App& app, const std::vector<std::string>& command, int& exit_status);
void add_status(CLI::App& app, int& exit_status);
void add_plan(CLI::App& app, int& exit_status);
void add_vault(CLI::App& app, int& exit_status);
void add_bench(CLI::App& app, int& exit_status);

// Prints "rhizome COMMAND: text" on standard error; returns `status`.
int complain(const char* command, const std::string& text, int status = kFailure);

}  // namespace rhz::tools
