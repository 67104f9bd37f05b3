// Where there is no libFuzzer: replays files and seeds, then inputs made of them by random changes.  No coverage guides it; that is
// what the build with clang is for (docs/testing.md).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "runtime/base/prng.h"
#include "tests/fuzz/fuzz.h"

namespace rhz::fuzz {
namespace {

constexpr size_t kMostBytes = 4096;

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return bytes_from(std::string(std::istreambuf_iterator<char>(file), {}));
}

void run(const Bytes& input) {
  // Of exactly that size, so that a sanitizer sees a read beyond it.
  const Bytes copy(input.begin(), input.end());
  (void)LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(copy.data()), copy.size());
}

std::byte interesting(Prng& random) {
  constexpr uint8_t kBytes[] = {0, 1, 2, 4, 8, 16, 32, 64, 127, 128, 254, 255, '"', '{', '[', ','};
  return std::byte{kBytes[random.below(std::size(kBytes))]};
}

void change(Bytes& input, const std::vector<Bytes>& corpus, Prng& random) {
  const size_t at = input.empty() ? 0 : random.below(input.size());
  const size_t length = 1 + random.below(16);
  switch (random.below(7)) {
    case 0:
      if (!input.empty()) input[at] ^= std::byte(1 << random.below(8));
      break;
    case 1:
      if (!input.empty()) input[at] = random.chance(0.5) ? interesting(random) : std::byte(random.below(256));
      break;
    case 2: {
      for (size_t i = 0; i < length; ++i) input.insert(input.begin() + static_cast<long>(at), interesting(random));
      break;
    }
    case 3: input.erase(input.begin() + static_cast<long>(at), input.begin() + static_cast<long>(std::min(input.size(), at + length))); break;
    case 4: input.resize(at); break;
    case 5: {  // a stretch of another one
      const Bytes& other = corpus[random.below(corpus.size())];
      if (other.empty()) break;
      const size_t from = random.below(other.size()), to = std::min(other.size(), from + 4 * length);
      input.insert(input.begin() + static_cast<long>(at), other.begin() + static_cast<long>(from), other.begin() + static_cast<long>(to));
      break;
    }
    case 6: {
      if (input.size() < at + 8) break;
      const uint64_t number = uint64_t{1} << random.below(64), value = random.chance(0.5) ? number : number - 1;
      for (size_t i = 0; i < 8; ++i) input[at + i] = std::byte(value >> (8 * i));
      break;
    }
  }
  if (input.size() > kMostBytes) input.resize(kMostBytes);
}

int fuzz(uint64_t runs, uint64_t seconds, uint64_t seed, const std::vector<std::string>& paths, const std::string& write_to, const std::string& keep) {
  std::vector<Bytes> corpus = seeds();
  for (const std::string& path : paths) {
    std::vector<std::filesystem::path> files{path};
    if (std::filesystem::is_directory(path)) files.assign(std::filesystem::directory_iterator(path), {});
    std::sort(files.begin(), files.end());  // a seed means the same changes on every file system
    for (const auto& file : files) corpus.push_back(read_file(file));
  }
  corpus.emplace_back();
  if (!write_to.empty()) {
    for (size_t i = 0; i < corpus.size(); ++i)
      std::ofstream(std::filesystem::path(write_to) / ("seed" + std::to_string(i)), std::ios::binary)
          .write(reinterpret_cast<const char*>(corpus[i].data()), static_cast<std::streamsize>(corpus[i].size()));
    return 0;
  }
  for (const Bytes& input : corpus) run(input);
  Prng random(seed);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  uint64_t done = 0;
  for (; seconds ? std::chrono::steady_clock::now() < until : done < runs; ++done) {
    Bytes input = corpus[random.below(corpus.size())];
    for (uint64_t changes = 1 + random.below(8); changes > 0; --changes) change(input, corpus, random);
    if (!keep.empty())
      std::ofstream(keep, std::ios::binary).write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
    run(input);
  }
  std::printf("%zu seeds and files, %llu changed inputs, seed %llu\n", corpus.size(), static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(seed));
  return 0;
}

}  // namespace
}  // namespace rhz::fuzz

int main(int argc, char** argv) {
  CLI::App app("Runs a fuzz target on files, on its seeds, and on random changes of them.");
  uint64_t runs = 100'000, seconds = 0, seed = 1;
  std::vector<std::string> paths;
  std::string write_to, keep;
  app.add_option("--runs", runs, "changed inputs")->capture_default_str();
  app.add_option("--seconds", seconds, "for so long instead");
  app.add_option("--seed", seed, "of the changes")->capture_default_str();
  app.add_option("--write-seeds", write_to, "a folder: only write what it would begin with, for libFuzzer")->check(CLI::ExistingDirectory);
  app.add_option("--keep", keep, "a file for the newest input: after a crash it is the one");
  app.add_option("PATHS", paths, "files, or folders of files")->check(CLI::ExistingPath);
  app.footer("example: fuzz_frame --seconds 20");
  CLI11_PARSE(app, argc, argv);
  return rhz::fuzz::fuzz(runs, seconds, seed, paths, write_to, keep);
}
