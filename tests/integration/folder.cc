#include "tests/integration/folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/integration/patience.h"

namespace rhz::test {
namespace {

constexpr int kReportLines = 40;

void expect_no_report(const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const bool report = line.find("Sanitizer: ") != std::string::npos ||
                        line.find("runtime error: ") != std::string::npos;
    if (!report) continue;
    // What follows is where it happened.
    std::string text = line;
    for (int more = 0; more < kReportLines && std::getline(file, line); ++more) text += "\n" + line;
    ADD_FAILURE() << path << ": " << text;
    return;
  }
}

}  // namespace

Folder::Folder() : path_(testing::TempDir() + "rhizome-XXXXXX") {
  if (!mkdtemp(path_.data())) std::abort();
}

Folder::~Folder() {
  if (kSanitized) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path_, ignored))
      if (entry.is_regular_file(ignored)) expect_no_report(entry.path());
  }
  if (testing::Test::HasFailure()) return;  // keeps the logs
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace rhz::test
