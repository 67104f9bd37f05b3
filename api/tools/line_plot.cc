#include "api/tools/line_plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <sstream>

#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr double kWidth = 440, kHeight = 320;  // of the plotted area, pixels
constexpr double kLeft = 60, kTop = 70, kRight = 24, kBottom = 54;
constexpr double kLegendWidth = 170, kLegendLine = 22;
constexpr int kTicks = 6;
// After Okabe and Ito, for those who see red and green alike; then dashed.
constexpr std::array kColours = {"#000000", "#D55E00", "#0072B2", "#009E73",
                                 "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"};

struct Range {
  double low = 0, high = 1;
};

Range range_of(const PlotPanel& panel, bool y) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const PlotLine& line : panel.lines) {
    for (const auto& point : line.points) {
      low = std::min(low, y ? point.second : point.first);
      high = std::max(high, y ? point.second : point.first);
    }
  }
  return low < high ? Range{low, high} : Range{};
}

// A step of 1, 2 or 5 times a power of ten, for about so many ticks.
double tick_of(const Range& range) {
  const double rough = (range.high - range.low) / kTicks;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (double step : {1.0, 2.0, 5.0})
    if (step * power >= rough) return step * power;
  return 10 * power;
}

class Drawing {
 public:
  void text(double x, double y, const char* anchor, const std::string& what, int size = 12) {
    out_ << "<text x=\"" << x << "\" y=\"" << y << "\" text-anchor=\"" << anchor
         << "\" font-size=\"" << size << "\">" << what << "</text>\n";
  }
  void panel(const PlotPanel& panel, double left) {
    const Range xs = range_of(panel, false), ys = range_of(panel, true);
    auto x_of = [&](double x) { return left + kWidth * (x - xs.low) / (xs.high - xs.low); };
    auto y_of = [&](double y) { return kTop + kHeight * (ys.high - y) / (ys.high - ys.low); };
    const double bottom = kTop + kHeight, x_step = tick_of(xs), y_step = tick_of(ys);
    for (double x = std::ceil(xs.low / x_step) * x_step; x <= xs.high; x += x_step) {
      rule(x_of(x), kTop, x_of(x), bottom);
      text(x_of(x), bottom + 18, "middle", format("%g", x));
    }
    for (double y = std::ceil(ys.low / y_step) * y_step; y <= ys.high; y += y_step) {
      rule(left, y_of(y), left + kWidth, y_of(y));
      text(left - 8, y_of(y) + 4, "end", format("%g", y));
    }
    text(left, kTop - 12, "start", panel.title, 13);
    text(left + kWidth / 2, bottom + 40, "middle", panel.x_label);
    for (const PlotLine& line : panel.lines) {
      out_ << "<polyline fill=\"none\" " << stroke(line.name) << " points=\"";
      for (const auto& [x, y] : line.points) out_ << x_of(x) << ',' << y_of(y) << ' ';
      out_ << "\"/>\n";
    }
  }
  void legend(double x) {
    double y = kTop + 8;
    for (const std::string& name : names_) {
      out_ << "<line x1=\"" << x << "\" y1=\"" << y << "\" x2=\"" << x + 30 << "\" y2=\"" << y
           << "\" " << stroke(name) << "/>\n";
      text(x + 38, y + 4, "start", name);
      y += kLegendLine;
    }
  }
  std::string body() const { return out_.str(); }

 private:
  void rule(double x1, double y1, double x2, double y2) {
    out_ << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2
         << "\" stroke=\"#dddddd\"/>\n";
  }
  std::string stroke(const std::string& name) {
    const auto at = std::find(names_.begin(), names_.end(), name);
    const auto index = static_cast<size_t>(at - names_.begin());
    if (at == names_.end()) names_.push_back(name);
    return format("stroke=\"%s\" stroke-width=\"1.8\"%s", kColours[index % kColours.size()],
                  index < kColours.size() ? "" : " stroke-dasharray=\"5 3\"");
  }

  std::vector<std::string> names_;  // in the order in which they were met
  std::ostringstream out_;
};

}  // namespace

bool write_plot(const std::string& path, const std::string& title,
                const std::vector<PlotPanel>& panels) {
  Drawing drawing;
  double left = kLeft;
  drawing.text(kLeft, 28, "start", title, 15);
  for (const PlotPanel& panel : panels) {
    drawing.panel(panel, left);
    left += kWidth + kRight + kLeft;
  }
  drawing.legend(left - kLeft + kRight);
  std::ofstream file(path);
  file << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << left + kLegendWidth
       << "\" height=\"" << kTop + kHeight + kBottom
       << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
       << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
       << drawing.body() << "</svg>\n";
  return static_cast<bool>(file.flush());
}

}  // namespace rhz::tools
