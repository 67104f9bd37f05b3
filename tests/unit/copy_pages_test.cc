// The pages of a copy are there before anybody writes to it.
#include "api/src/copy_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace rhz::test {
namespace {

constexpr uint64_t kBytes = 16u << 20;

struct CopyPagesTest : testing::Test {
  CopyPagesTest() {
    void* mapped =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(mapped, MAP_FAILED);
    memory = static_cast<std::byte*>(mapped);
  }
  ~CopyPagesTest() override { ::munmap(memory, kBytes); }
  uint64_t present() const {
    std::vector<unsigned char> pages(kBytes / static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
    EXPECT_EQ(::mincore(memory, kBytes, pages.data()), 0);
    return static_cast<uint64_t>(
               std::count_if(pages.begin(), pages.end(), [](auto p) { return p & 1; })) *
           static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  std::byte* memory = nullptr;
};

TEST_F(CopyPagesTest, MakesAllOfThemWhileOthersGoOn) {
  CopyPages pages([] { return false; });
  EXPECT_TRUE(pages.ready()) << "nothing is being made";
  pages.begin(memory, kBytes);
  while (!pages.ready()) std::this_thread::yield();
  EXPECT_EQ(present(), kBytes);
  pages.end();
}

TEST_F(CopyPagesTest, StopsWithinAPieceWhenToldTo) {
  CopyPages pages([] { return true; });  // collectives are always open
  pages.begin(memory, kBytes);
  pages.end();
  EXPECT_TRUE(pages.ready());
  const uint64_t made = present();
  EXPECT_LT(made, kBytes);
  pages.begin(memory, kBytes);
  pages.end();
}

}  // namespace
}  // namespace rhz::test
