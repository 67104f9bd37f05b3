#include "tests/lint/tree.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/lint/blank.h"

namespace rhz::lint {
namespace {

namespace fs = std::filesystem;

constexpr std::array kCppSuffixes = {".h", ".c", ".cc", ".cpp", ".hpp", ".cu", ".cuh"};
constexpr std::array kOtherSuffixes = {".md", ".txt", ".cmake", ".capnp", ".py", ".in"};

Language language_of(std::string_view path) {
  if (ends_with(path, ".sh")) return Language::kShell;
  for (const char* suffix : kCppSuffixes) {
    if (ends_with(path, suffix)) return Language::kCpp;
  }
  return Language::kOther;
}

bool is_checked(std::string_view path) {
  if (language_of(path) != Language::kOther || ends_with(path, "Makefile")) return true;
  return std::any_of(kOtherSuffixes.begin(), kOtherSuffixes.end(),
                     [&](const char* suffix) { return ends_with(path, suffix); });
}

std::vector<std::string> split_lines(std::string_view content) {
  std::vector<std::string> lines;
  while (!content.empty()) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    lines.emplace_back(content.substr(0, end));
    content.remove_prefix(std::min(end + 1, content.size()));
  }
  return lines;
}

bool is_left_out(const fs::directory_entry& entry) {
  if (entry.path().filename().string().front() == '.') return true;
  return entry.is_directory() && fs::exists(entry.path() / "CMakeCache.txt");
}

}  // namespace

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

std::size_t find_word(std::string_view line, std::string_view word, std::size_t from) {
  auto is_word = [&](std::size_t i) {
    return i < line.size() && (std::isalnum(static_cast<unsigned char>(line[i])) || line[i] == '_');
  };
  for (std::size_t at = line.find(word, from); at != std::string_view::npos;
       at = line.find(word, at + 1)) {
    const bool begins = at == 0 || !is_word(at - 1);
    if (begins && !is_word(at + word.size())) return at;
  }
  return std::string_view::npos;
}

File make_file(std::string path, std::string_view content) {
  File file;
  file.language = language_of(path);
  file.path = std::move(path);
  file.text = split_lines(content);
  if (file.language == Language::kCpp) file.code = split_lines(blank_cpp(content));
  if (file.language == Language::kShell) file.code = split_lines(blank_shell(content));
  return file;
}

Tree load_tree(const std::string& root) {
  Tree tree;
  for (auto i = fs::recursive_directory_iterator(root); i != fs::recursive_directory_iterator();
       ++i) {
    if (is_left_out(*i)) {
      i.disable_recursion_pending();
      continue;
    }
    std::string path = fs::relative(i->path(), root).generic_string();
    if (!i->is_regular_file() || !is_checked(path)) continue;
    std::ifstream in(i->path(), std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(in), {}};
    tree.push_back(make_file(std::move(path), content));
  }
  std::sort(tree.begin(), tree.end(), [](const File& a, const File& b) { return a.path < b.path; });
  return tree;
}

std::vector<Include> includes_of(const File& file) {
  std::vector<Include> includes;
  for (std::size_t i = 0; i < file.code.size(); i++) {
    const std::string& code = file.code[i];
    const std::size_t hash = code.find_first_not_of(" \t");
    if (hash == std::string::npos || code[hash] != '#') continue;
    const std::size_t word = find_word(code, "include", hash);
    if (word != code.find_first_not_of(" \t", hash + 1)) continue;
    const std::string& text = file.text[i];
    const std::size_t open = text.find_first_of("\"<", word);
    if (open == std::string::npos) continue;
    const std::size_t close = text.find(text[open] == '<' ? '>' : '"', open + 1);
    if (close == std::string::npos) continue;
    includes.push_back(
        {text.substr(open + 1, close - open - 1), static_cast<int>(i) + 1, text[open] == '"'});
  }
  return includes;
}

}  // namespace rhz::lint
