#include "tests/lint/blank.h"

#include <algorithm>
#include <cctype>

namespace rhz::lint {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

class CppBlanker {
 public:
  explicit CppBlanker(std::string_view content) : in_(content), out_(content) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  void step() {
    const std::string_view rest = in_.substr(at_);
    if (rest.starts_with("//")) {
      blank_to(find_or_end("\n", at_));
    } else if (rest.starts_with("/*")) {
      blank_to(past("*/", at_ + 2));
    } else if (rest.starts_with("R\"") && (at_ == 0 || !is_word(in_[at_ - 1]))) {
      blank_raw_string();
    } else if (rest[0] == '"') {
      blank_quoted('"');
    } else if (rest[0] == '\'' && (at_ == 0 || !is_word(in_[at_ - 1]))) {  // else: 1'000
      blank_quoted('\'');
    } else {
      at_++;
    }
  }

  void blank_raw_string() {
    const std::size_t open = find_or_end("(", at_);
    const std::string close = ")" + std::string(in_.substr(at_ + 2, open - at_ - 2)) + "\"";
    at_++;  // the R stays, like the quotes of any literal
    blank_inside(past(close, open));
  }

  void blank_quoted(char quote) {
    std::size_t end = at_ + 1;
    while (end < in_.size() && in_[end] != quote && in_[end] != '\n') {
      end += in_[end] == '\\' ? 2 : 1;
    }
    blank_inside(std::min(end + 1, in_.size()));
  }

  std::size_t find_or_end(std::string_view what, std::size_t from) const {
    return std::min(in_.find(what, from), in_.size());
  }
  std::size_t past(std::string_view what, std::size_t from) const {
    return std::min(find_or_end(what, from) + what.size(), in_.size());
  }

  void blank_to(std::size_t end) {
    for (; at_ < end; at_++) {
      if (in_[at_] != '\n') out_[at_] = ' ';
    }
  }
  // As blank_to, but keeps the quotes at both ends: a literal is still there, only its text is not.
  void blank_inside(std::size_t end) {
    const std::size_t first = at_;
    blank_to(end);
    out_[first] = in_[first];
    if (end > first + 1) out_[end - 1] = in_[end - 1];
  }

  std::string_view in_;
  std::string out_;
  std::size_t at_ = 0;
};

}  // namespace

std::string blank_cpp(std::string_view content) { return CppBlanker(content).run(); }

std::string blank_shell(std::string_view content) {
  std::string out(content);
  bool comment = false;
  for (std::size_t i = 0; i < out.size(); i++) {
    const bool at_word_start = i == 0 || content[i - 1] == ' ' || content[i - 1] == '\n';
    if (content[i] == '\n') {
      comment = false;
    } else if (comment || (content[i] == '#' && at_word_start)) {
      comment = true;
      out[i] = ' ';
    }
  }
  return out;
}

}  // namespace rhz::lint
