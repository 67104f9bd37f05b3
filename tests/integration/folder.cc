#include "tests/integration/folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace rhz::test {

Folder::Folder() : path_(testing::TempDir() + "rhizome-XXXXXX") {
  if (!mkdtemp(path_.data())) std::abort();
}

Folder::~Folder() {
  if (testing::Test::HasFailure()) return;  // keeps the logs
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace rhz::test
