#include "tests/lint/exceptions.h"

#include <sstream>

namespace rhz::lint {

Exceptions parse_exceptions(const std::vector<std::string>& lines) {
  Exceptions exceptions;
  int number = 0;
  for (const std::string& line : lines) {
    number++;
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    Exception exception;
    std::string reason;
    words >> exception.path >> exception.limit >> reason;
    exception.line = number;
    if (reason.empty()) {
      exceptions.malformed.push_back(number);
      continue;
    }
    const std::size_t colon = exception.path.find(':');
    if (colon != std::string::npos) {
      exception.function = exception.path.substr(colon + 1);
      exception.path.resize(colon);
    }
    exceptions.list.push_back(exception);
  }
  return exceptions;
}

}  // namespace rhz::lint
