// Lines over a common axis, in panels side by side, as SVG.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace rhz::tools {

struct PlotLine {
  std::string name;  // the same name looks the same in each panel
  std::vector<std::pair<double, double>> points;
};
struct PlotPanel {
  std::string title, x_label;
  std::vector<PlotLine> lines;
};
// False: the file cannot be written.
bool write_plot(const std::string& path, const std::string& title,
                const std::vector<PlotPanel>& panels);

}  // namespace rhz::tools
