// Blanks comments and literals, keeping lines and columns.
#pragma once

#include <string>
#include <string_view>

namespace rhz::lint {

std::string blank_cpp(std::string_view content);
std::string blank_shell(std::string_view content);

}  // namespace rhz::lint
