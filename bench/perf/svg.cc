// Bus bandwidth against size, a panel for each world size and collective, both axes logarithmic.
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <sstream>

#include "bench/perf/report.h"

namespace rhz::perf {
namespace {

constexpr double kPanelWidth = 420, kPanelHeight = 300;  // of the plotted area, pixels
constexpr double kLeft = 76, kTop = 44, kRight = 24, kBottom = 58;
constexpr double kLegendWidth = 190, kLegendLine = 22, kTitle = 40;
constexpr int kPanelsPerLine = 2;

struct Style {
  const char* contender;
  const char* colour;
};
// Each looks the same in every plot. Told apart also by those who see red and green alike (after
// Okabe and Ito), and by their markers, which change from line to line.
constexpr std::array kStyles = {
    Style{"ours-tcp", "#000000"},     Style{"ours-shm", "#D55E00"},
    Style{"ours-ucx", "#999900"},     Style{"ours-ofi", "#7B3294"},
    Style{"openmpi-tcp", "#0072B2"},  Style{"openmpi-shm", "#009E73"},
    Style{"mpich-tcp", "#CC79A7"},    Style{"mpich-shm", "#E69F00"},
    Style{"gloo-ring", "#56B4E9"},    Style{"gloo-chunked", "#8B6508"},
    Style{"gloo-halving", "#6A3D9A"}, Style{"torch-gloo", "#B22222"},
    Style{"pccl", "#4B5320"},         Style{"", "#7F7F7F"},  // ops in flight, and whoever is new
};
constexpr const char* kLimitColour = "#999999";

struct Range {
  double low = 0, high = 0;  // logarithms
  bool any = false;

  void widen(double value) {
    low = any ? std::min(low, value) : value;
    high = any ? std::max(high, value) : value;
    any = true;
  }
};

struct Panel {
  int world = 0;
  perf_collective collective = PERF_ALLREDUCE;
  double x = 0, y = 0;  // upper left corner of the plotted area
};

class Drawing {
 public:
  explicit Drawing(const Report& report) : report_(report) { collect(); }

  std::string text() {
    const size_t lines = (panels_.size() + kPanelsPerLine - 1) / kPanelsPerLine;
    const size_t columns = std::min<size_t>(panels_.size(), kPanelsPerLine);
    const double width =
        static_cast<double>(columns) * (kLeft + kPanelWidth + kRight) + kLegendWidth;
    const double height = kTitle + static_cast<double>(lines) * (kTop + kPanelHeight + kBottom);
    out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\""
         << height << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
         << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
    label(kLeft, 26, "start",
          "Bus bandwidth, f32 sum, medians of one run; " + report_.congestion + ", " +
              std::to_string(report_.cores) + " cores",
          15);
    for (const Panel& panel : panels_) draw(panel);
    draw_legend(width - kLegendWidth);
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  void collect() {
    for (const Row& row : report_.rows) {
      if (row.iterations() == 0 || row.bytes == 0) continue;
      sizes_.widen(std::log2(static_cast<double>(row.bytes)));
      speeds_.widen(std::log10(row.busbw_GBps()));
      if (std::find(names_.begin(), names_.end(), row.contender) == names_.end()) {
        names_.push_back(row.contender);
      }
      const bool drawn = std::any_of(panels_.begin(), panels_.end(), [&](const Panel& p) {
        return p.world == row.world && p.collective == row.collective;
      });
      if (!drawn) panels_.push_back({row.world, row.collective});
      if (report_.limit_of(row) > 0) {
        speeds_.widen(std::log10(report_.limit_of(row)));
        limited_ = true;
      }
    }
    speeds_ = {std::floor(speeds_.low), std::ceil(speeds_.high + 1e-9), true};
    if (sizes_.low == sizes_.high) sizes_ = {sizes_.low - 1, sizes_.high + 1, true};
    for (size_t i = 0; i < panels_.size(); i++) {
      panels_[i].x =
          kLeft + static_cast<double>(i % kPanelsPerLine) * (kLeft + kPanelWidth + kRight);
      panels_[i].y =
          kTitle + kTop + static_cast<double>(i / kPanelsPerLine) * (kTop + kPanelHeight + kBottom);
    }
  }

  double x_of(const Panel& panel, double bytes) const {
    return panel.x + kPanelWidth * (std::log2(bytes) - sizes_.low) / (sizes_.high - sizes_.low);
  }
  double y_of(const Panel& panel, double speed) const {
    return panel.y +
           kPanelHeight * (speeds_.high - std::log10(speed)) / (speeds_.high - speeds_.low);
  }

  void label(double x, double y, const char* anchor, const std::string& text, int size = 12) {
    out_ << "<text x=\"" << x << "\" y=\"" << y << "\" text-anchor=\"" << anchor
         << "\" font-size=\"" << size << "\">" << text << "</text>\n";
  }
  void line(double x1, double y1, double x2, double y2, const char* colour, const char* more = "") {
    out_ << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2
         << "\" stroke=\"" << colour << "\" " << more << "/>\n";
  }

  void draw(const Panel& panel) {
    draw_axes(panel);
    for (const std::string& name : names_) draw_line(panel, name);
    for (const Row& row : report_.rows) {
      const double limit = report_.limit_of(row);
      if (row.world != panel.world || row.collective != panel.collective || limit <= 0) continue;
      const double y = y_of(panel, limit);
      line(panel.x, y, panel.x + kPanelWidth, y, kLimitColour, "stroke-dasharray=\"6 4\"");
      break;
    }
  }

  void draw_axes(const Panel& panel) {
    const double right = panel.x + kPanelWidth, bottom = panel.y + kPanelHeight;
    for (double decade = speeds_.low; decade <= speeds_.high + 0.5; decade++) {
      const double y = y_of(panel, std::pow(10, decade));
      line(panel.x, y, right, y, "#cccccc");
      std::ostringstream text;
      text << std::pow(10, decade);
      label(panel.x - 8, y + 4, "end", text.str());
      for (int i = 2; i < 10 && decade < speeds_.high; i++) {
        const double between = y_of(panel, i * std::pow(10, decade));
        line(panel.x, between, right, between, "#eeeeee");
      }
    }
    // At most eight labels, at powers of two that are also powers of 4, 16, …
    const int step = std::max(2, static_cast<int>(std::ceil((sizes_.high - sizes_.low) / 7)));
    for (int i = static_cast<int>(std::ceil(sizes_.low)); i <= sizes_.high; i += step) {
      const double x = x_of(panel, std::exp2(i));
      line(x, panel.y, x, bottom, "#cccccc");
      label(x, bottom + 18, "middle", size_text(size_t{1} << i));
    }
    out_ << "<rect x=\"" << panel.x << "\" y=\"" << panel.y << "\" width=\"" << kPanelWidth
         << "\" height=\"" << kPanelHeight << "\" fill=\"none\" stroke=\"#444444\"/>\n";
    label(panel.x + kPanelWidth / 2, bottom + 38, "middle", "size of the larger buffer of a rank");
    label(panel.x, panel.y - 10, "start",
          std::string(perf_collective_name(panel.collective)) +
              ", N = " + std::to_string(panel.world) + ": busbw, GB/s",
          13);
  }

  void draw_line(const Panel& panel, const std::string& name) {
    std::ostringstream points;
    std::vector<std::pair<double, double>> marks;
    for (const Row& row : report_.rows) {
      if (row.world != panel.world || row.collective != panel.collective) continue;
      if (row.contender != name || row.iterations() == 0 || row.bytes == 0) continue;
      marks.emplace_back(x_of(panel, static_cast<double>(row.bytes)),
                         y_of(panel, row.busbw_GBps()));
    }
    std::sort(marks.begin(), marks.end());
    for (const auto& [x, y] : marks) points << x << ',' << y << ' ';
    if (marks.size() > 1) {
      out_ << "<polyline points=\"" << points.str() << "\" fill=\"none\" " << stroke_of(name)
           << "/>\n";
    }
    for (const auto& [x, y] : marks) draw_mark(x, y, name);
  }

  static size_t place_of(const std::string& name) {
    size_t i = 0;
    while (i + 1 < kStyles.size() && name != kStyles[i].contender) i++;
    return i;
  }
  static const char* colour_of(const std::string& name) { return kStyles[place_of(name)].colour; }

  static std::string stroke_of(const std::string& name) {
    const bool ours = name.rfind("ours", 0) == 0;
    return std::string("stroke=\"") + colour_of(name) + "\" stroke-width=\"" +
           (ours ? "2.6" : "1.5") + "\"";
  }

  // A circle, a square, a triangle, a diamond, in turn.
  void draw_mark(double x, double y, const std::string& name) {
    constexpr double r = 4;
    const char* colour = colour_of(name);
    const size_t kind = place_of(name) % 4;
    if (kind == 0) {
      out_ << "<circle cx=\"" << x << "\" cy=\"" << y << "\" r=\"" << r << "\" fill=\"" << colour
           << "\"/>\n";
      return;
    }
    out_ << "<path fill=\"" << colour << "\" d=\"M" << x << ' ' << y;
    if (kind == 1) out_ << " m-3.5 -3.5 h7 v7 h-7 z";
    if (kind == 2) out_ << " m0 -5 l4.5 8 h-9 z";
    if (kind == 3) out_ << " m0 -5 l5 5 l-5 5 l-5 -5 z";
    out_ << "\"/>\n";
  }

  void draw_legend(double x) {
    double y = kTitle + kTop + 8;
    for (const std::string& name : names_) {
      out_ << "<line x1=\"" << x << "\" y1=\"" << y << "\" x2=\"" << x + 34 << "\" y2=\"" << y
           << "\" " << stroke_of(name) << "/>\n";
      draw_mark(x + 17, y, name);
      label(x + 42, y + 4, "start", name);
      y += kLegendLine;
    }
    if (!limited_) return;
    line(x, y, x + 34, y, kLimitColour, "stroke-dasharray=\"6 4\"");
    label(x + 42, y + 4, "start",
          report_.line_GBps > 0 ? "the line (iperf3)" : "raw TCP ring's limit");
  }

  const Report& report_;
  Range sizes_, speeds_;
  std::vector<std::string> names_;
  std::vector<Panel> panels_;
  bool limited_ = false;
  std::ostringstream out_;
};

}  // namespace

bool write_svg(const Report& report, const std::string& path) {
  std::ofstream file(path);
  file << Drawing(report).text();
  return static_cast<bool>(file.flush());
}

}  // namespace rhz::perf
