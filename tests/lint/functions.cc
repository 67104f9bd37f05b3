#include "tests/lint/functions.h"

#include <algorithm>
#include <cctype>

namespace rhz::lint {
namespace {

enum class Brace { kScope, kFunction, kOther };  // scope: namespace, type, extern "C"

bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':' || c == '~';
}

std::string name_before_parenthesis(const std::string& head) {
  const std::size_t open = head.find('(');
  std::size_t end = open;
  while (end > 0 && head[end - 1] == ' ') end--;
  std::size_t begin = end;
  while (begin > 0 && is_name(head[begin - 1])) begin--;
  std::string name = head.substr(begin, end - begin);
  if (!starts_with(name, "TEST")) return name;
  std::string test;  // of a GoogleTest macro: its two arguments
  for (std::size_t i = open + 1; i < head.size() && head[i] != ')'; i++) {
    if (head[i] == ',') test += '.';
    if (is_name(head[i])) test += head[i];
  }
  return test;
}

class Scanner {
 public:
  explicit Scanner(const File& file) : file_(file) {}

  std::vector<Function> run() {
    for (std::size_t i = 0; i < file_.code.size(); i++) {
      line_ = static_cast<int>(i) + 1;
      const std::string& code = file_.code[i];
      const std::size_t first = code.find_first_not_of(" \t");
      if (first == std::string::npos) continue;
      if (directive_continues_ || code[first] == '#') {
        directive(code);
        directive_continues_ = code.back() == '\\';
        continue;
      }
      for (std::size_t at = first; at < code.size(); at++) character(code, at);
      head_ += ' ';
    }
    return std::move(functions_);
  }

 private:
  // The branches of an #if may each open the same brace: each begins with the braces that were open
  // at the #if.
  void directive(const std::string& code) {
    if (directive_continues_) return;
    if (code.find("#if") != std::string::npos) conditions_.push_back(open_);
    if (conditions_.empty()) return;
    if (code.find("#el") != std::string::npos) open_ = conditions_.back();
    if (code.find("#endif") != std::string::npos) conditions_.pop_back();
  }

  void character(const std::string& code, std::size_t at) {
    const char c = code[at];
    if (c == '{') {
      // Formatted code has a blank before a body, and none before the braces of an initialiser.
      open_brace(at == 0 || code[at - 1] == ' ');
    } else if (c == '}') {
      close_brace();
    } else if (c == ';') {
      head_.clear();
    } else if (in_scope()) {
      if (head_.find_first_not_of(' ') == std::string::npos) head_line_ = line_;
      head_ += c;
    }
  }

  bool in_scope() const { return open_.empty() || open_.back() == Brace::kScope; }

  void open_brace(bool after_blank) {
    Brace brace = Brace::kOther;
    if (in_scope() && after_blank) brace = classify();
    if (brace == Brace::kFunction) {
      current_ = {name_before_parenthesis(head_), head_line_, 0};
    }
    if (brace != Brace::kOther) head_.clear();
    open_.push_back(brace);
  }

  Brace classify() const {
    const std::size_t parenthesis = head_parenthesis();
    if (parenthesis == std::string::npos) {
      for (const char* word : {"namespace", "extern", "class", "struct", "union", "enum"}) {
        if (find_word(head_, word) != std::string::npos) return Brace::kScope;
      }
      return Brace::kOther;
    }
    // `int table[] = {f(1), ...`, but neither `operator=(` nor a default argument.
    const bool initialiser =
        head_.find('=') < parenthesis && head_.find("operator") == std::string::npos;
    return initialiser ? Brace::kOther : Brace::kFunction;
  }

  // Where parameters begin; `struct alignas(64) A` has none.
  std::size_t head_parenthesis() const {
    const std::size_t first = head_.find('(');
    if (first == std::string::npos || !ends_with(head_.substr(0, first), "alignas")) return first;
    return head_.find('(', first + 1);
  }

  void close_brace() {
    if (open_.empty()) return;
    const Brace brace = open_.back();
    open_.pop_back();
    if (brace == Brace::kFunction) {
      current_.lines = line_ - current_.first_line + 1;
      functions_.push_back(current_);
    }
    // After an initialiser the head goes on: `: a_{1}, b_(2) {`.
    if (brace != Brace::kOther) head_.clear();
  }

  const File& file_;
  std::vector<Function> functions_;
  std::vector<Brace> open_;
  std::vector<std::vector<Brace>> conditions_;
  std::string head_;  // what stands before the next brace, inside namespaces and types only
  int head_line_ = 0;
  int line_ = 0;
  bool directive_continues_ = false;
  Function current_{};
};

}  // namespace

std::vector<Function> functions_of(const File& file) {
  if (file.language != Language::kCpp) return {};
  return Scanner(file).run();
}

}  // namespace rhz::lint
