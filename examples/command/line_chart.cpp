#include "command/line_chart.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include <mnemo/mnemo.h>

namespace mnemo::command {

namespace {

constexpr double kWidth = 960, kMargin = 20, kGap = 24, kPanelHeight = 264;
constexpr double kPlotLeft = 66, kPlotTop = 34, kPlotRight = 14, kPlotBottom = 42;
constexpr double kLetter = 6.9;  ///< width of a letter of the text, about
constexpr std::size_t kColours = 8;

// The palette of Okabe and Ito, the best visible first; its black and yellow suit only one kind of page each.
constexpr const char* kStyle = R"(
  text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .panel { font-weight: 600 }
  .dim { fill: #59636e }
  .page { fill: #ffffff }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .axis { stroke: #59636e; stroke-width: 1 }
  .line { fill: none; stroke-linejoin: round; stroke-linecap: round }
  .fall { fill: none; stroke-width: 12; stroke-linecap: round; opacity: 0.3 }
  .label { font-weight: 600; paint-order: stroke; stroke: #ffffff; stroke-width: 4; stroke-linejoin: round }
  .hollow { fill: #ffffff; stroke-width: 1.6 }
  .cross { fill: none; stroke-width: 2.4 }
  .s0 { stroke: #0072b2 } .f0 { fill: #0072b2 }
  .s1 { stroke: #d55e00 } .f1 { fill: #d55e00 }
  .s2 { stroke: #009e73 } .f2 { fill: #009e73 }
  .s3 { stroke: #cc79a7 } .f3 { fill: #cc79a7 }
  .s4 { stroke: #e69f00 } .f4 { fill: #e69f00 }
  .s5 { stroke: #56b4e9 } .f5 { fill: #56b4e9 }
  .s6 { stroke: #000000 } .f6 { fill: #000000 }
  .s7 { stroke: #a39a10 } .f7 { fill: #a39a10 }
  .words { stroke: #59636e } .wordsfill { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .dim { fill: #9198a1 }
    .page { fill: #0d1117 }
    .grid { stroke: #2a313c }
    .axis { stroke: #9198a1 }
    .fall { opacity: 0.45 }
    .label { stroke: #0d1117 }
    .hollow { fill: #0d1117 }
    .s0 { stroke: #2f93cf } .f0 { fill: #2f93cf }
    .s6 { stroke: #ffffff } .f6 { fill: #ffffff }
    .s7 { stroke: #f0e442 } .f7 { fill: #f0e442 }
    .words { stroke: #9198a1 } .wordsfill { fill: #9198a1 }
  }
)";

/// Text for XML, without what XML forbids.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else
      result += c < ' ' || c == '\x7f' ? '?' : c;  // also every byte beyond ASCII
  }
  return result;
}

/// "1.25 GiB": round in the unit in which it is written.
std::string axis_label(std::int64_t bytes) {
  if (bytes == 0) return "0";
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return fmt::format("{:g} {}", value, units[unit]);
}

/// From 0 in steps of a power of two, at most seven.
struct ByteAxis {
  std::int64_t step = 1, top = 0;  ///< top 0: there is nothing to show

  explicit ByteAxis(std::int64_t most) {
    if (most == 0) return;
    const auto wanted = static_cast<std::int64_t>(static_cast<double>(most) * 1.12);
    while (wanted / step >= 6) step *= 2;
    top = (wanted / step + 1) * step;
  }
};

struct Frame {
  double left, top, right, bottom;
  std::int64_t first, last;  ///< x
  ByteAxis bytes;

  double x(std::int64_t value) const {
    if (first == last) return (left + right) / 2;
    const double share = static_cast<double>(value - first) / static_cast<double>(last - first);
    return left + 14 + share * (right - left - 28);
  }
  double y(std::int64_t value) const {
    if (bytes.top == 0) return bottom;
    return bottom - static_cast<double>(value) / static_cast<double>(bytes.top) * (bottom - top);
  }
  double y(const ChartPoint& point) const { return point.missing ? top + 8 : y(point.bytes); }
};

const char* dashes(std::size_t dash) {
  constexpr const char* patterns[] = {"", "7 4", "2 4", "9 4 2 4"};
  return patterns[dash % std::size(patterns)];
}

std::string line_attributes(const ChartSeries& series, double width) {
  const std::string dash = dashes(series.dash);
  return fmt::format("class=\"line s{}\" stroke-width=\"{:.1f}\"{}", series.colour % kColours, width,
                     dash.empty() ? "" : fmt::format(" stroke-dasharray=\"{}\"", dash));
}

std::string symbol(const ChartPoint& point, double x, double y, const std::string& stroke, const std::string& fill,
                   double size = 3) {
  if (point.missing)
    return fmt::format("<path class=\"cross {}\" d=\"M{:.1f} {:.1f}l8 8m0 -8l-8 8\"", stroke, x - 4, y - 4);
  const std::string look =
      point.estimated ? fmt::format("class=\"hollow {}\"", stroke) : fmt::format("class=\"{}\"", fill);
  if (point.changed) {
    const double half = size + 3;
    return fmt::format("<path {} d=\"M{:.1f} {:.1f}l{:.1f} {:.1f}l-{:.1f} {:.1f}l-{:.1f} -{:.1f}z\"", look, x, y - half,
                       half, half, half, half, half, half);
  }
  return fmt::format("<circle {} cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"", look, x, y, size);
}

std::string axes(const Frame& frame, const std::set<std::int64_t>& xs, const std::string& x_title) {
  std::string text;
  const bool empty = frame.bytes.top == 0;
  if (empty)
    text += fmt::format("<text class=\"dim\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">0 at every size</text>\n",
                        (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2);
  for (std::int64_t bytes = 0; bytes <= frame.bytes.top; bytes += frame.bytes.step) {
    const double y = frame.y(bytes);
    text += fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                        bytes == 0 ? "axis" : "grid", frame.left, y, frame.right, y);
    text += fmt::format("<text class=\"dim\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", frame.left - 8,
                        y + 4, axis_label(bytes));
  }
  // Every size has a tick; every second, third, ... a label, counted from the last, so that labels keep apart.
  const double label = kLetter * static_cast<double>(std::to_string(frame.last).size()) + 10;
  const auto places = static_cast<std::size_t>((frame.right - frame.left) / label);
  const std::size_t every = (xs.size() + places - 1) / places;
  std::size_t left = xs.size();
  for (const std::int64_t size : xs) {
    const double x = frame.x(size);
    text += fmt::format("<line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", x,
                        frame.bottom, x, frame.bottom + 4);
    if (--left % every != 0) continue;
    text += fmt::format("<text class=\"dim\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x,
                        frame.bottom + 18, size);
  }
  return text + fmt::format("<text class=\"dim\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                            (frame.left + frame.right) / 2, frame.bottom + 35, escaped(x_title));
}

/// From one point down to a later one.
struct Fall {
  const ChartPoint* high = nullptr;
  const ChartPoint* low = nullptr;

  std::int64_t bytes() const { return high == nullptr ? 0 : high->bytes - low->bytes; }
};

/// The longest runs of points along which a curve falls.
std::vector<Fall> falls(const ChartCurve& curve) {
  std::vector<Fall> found;
  for (std::size_t i = 1; i < curve.points.size(); ++i) {
    const ChartPoint &before = curve.points[i - 1], &here = curve.points[i];
    if (!is_fall(before, here)) continue;
    if (!found.empty() && found.back().low == &before)
      found.back().low = &here;
    else
      found.push_back({&before, &here});
  }
  return found;
}

std::string coordinates(const Frame& frame, const ChartPoint* begin, const ChartPoint* end) {
  std::string text;
  for (const ChartPoint* point = begin; point != end; ++point)
    text += fmt::format("{}{:.1f},{:.1f}", text.empty() ? "" : " ", frame.x(point->x), frame.y(*point));
  return text;
}

std::string polylines(const Frame& frame, const ChartCurve& curve, const ChartSeries& series, double width) {
  std::string text;
  const ChartPoint* end = curve.points.data() + curve.points.size();
  for (const ChartPoint* begin = curve.points.data(); begin < end; ++begin) {
    const ChartPoint* stop = std::find_if(begin, end, [](const ChartPoint& point) { return point.missing; });
    if (stop != begin)
      text += fmt::format("<polyline {} points=\"{}\"/>\n", line_attributes(series, width),
                          coordinates(frame, begin, stop));
    begin = stop;
  }
  return text;
}

std::string panel_svg(const LineChart& chart, const ChartPanel& panel, double left, double top, double width) {
  std::set<std::int64_t> xs;
  std::int64_t most = 0;
  for (const ChartCurve& curve : panel.curves) {
    for (const ChartPoint& point : curve.points) {
      xs.insert(point.x);
      if (!point.missing) most = std::max(most, point.bytes);
    }
  }
  if (xs.empty()) return {};
  const Frame frame{
      left + kPlotLeft, top + kPlotTop, left + width - kPlotRight, top + kPanelHeight - kPlotBottom, *xs.begin(),
      *xs.rbegin(),     ByteAxis(most)};
  std::string text = fmt::format("<g>\n<text class=\"panel\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", left, top + 18,
                                 escaped(panel.title));
  text += axes(frame, xs, panel.x_title.empty() ? chart.x_title : panel.x_title);
  Fall deepest;
  for (const ChartCurve& curve : panel.curves) {
    for (const Fall& fall : falls(curve)) {
      if (fall.bytes() > deepest.bytes()) deepest = fall;
      text += fmt::format("<path class=\"fall s{}\" d=\"M{}\"/>\n", chart.series[curve.series].colour % kColours,
                          coordinates(frame, fall.high, fall.low + 1));
    }
  }
  // The first curves are the widest, so that one that lies upon another hides nothing.
  const auto stroke_of = [count = panel.curves.size()](std::size_t i) {
    return 2 + 0.7 * static_cast<double>(std::min<std::size_t>(count - 1 - i, 4));
  };
  for (std::size_t i = 0; i < panel.curves.size(); ++i) {
    const ChartCurve& curve = panel.curves[i];
    text += polylines(frame, curve, chart.series[curve.series], stroke_of(i));
  }
  for (std::size_t i = 0; i < panel.curves.size(); ++i) {
    const ChartCurve& curve = panel.curves[i];
    const std::size_t colour = chart.series[curve.series].colour % kColours;
    for (const ChartPoint& point : curve.points) {
      text += symbol(point, frame.x(point.x), frame.y(point), fmt::format("s{}", colour), fmt::format("f{}", colour),
                     2 + stroke_of(i) / 2);
      text += fmt::format("><title>{}</title>{}\n", escaped(point.title),
                          point.changed || point.missing ? "</path>" : "</circle>");
    }
  }
  if (deepest.bytes() > 0) {
    const std::string words = "+" + memory::format_bytes(deepest.bytes());
    const double half = kLetter * static_cast<double>(words.size()) / 2 + 4;
    const double x = std::clamp(frame.x(deepest.high->x), frame.left + half, frame.right - half);
    text += fmt::format("<text class=\"label\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x,
                        frame.y(*deepest.high) - 12, words);
  }
  return text + "</g>\n";
}

/// Entries side by side, as many to a line as fit.
class Legend {
 public:
  explicit Legend(double top) : y_(top) {}

  /// `drawing` is made for a centre of (15, 0).
  void add(const std::string& drawing, const std::string& words) {
    const double width = 36 + kLetter * static_cast<double>(words.size()) + 20;
    if (x_ > kMargin && x_ + width > kWidth - kMargin) end_line();
    text_ += fmt::format("<g transform=\"translate({:.1f} {:.1f})\">{}<text x=\"36\" y=\"4\">{}</text></g>\n", x_, y_,
                         drawing, escaped(words));
    x_ += width;
  }
  void end_line() {
    if (x_ == kMargin) return;
    x_ = kMargin;
    y_ += 20;
  }
  double bottom() const { return y_; }
  const std::string& text() const { return text_; }

 private:
  double x_ = kMargin, y_;
  std::string text_;
};

Legend legend(const LineChart& chart, double top) {
  Legend legend(top);
  for (const ChartSeries& series : chart.series)
    legend.add(fmt::format("<path {} d=\"M2 0h26\"/>", line_attributes(series, 3)), series.name);
  legend.end_line();
  const auto add = [&legend](const ChartPoint& point, const std::string& words) {
    if (!words.empty()) legend.add(symbol(point, 15, 0, "words", "wordsfill") + "/>", words);
  };
  if (!chart.fall_means.empty()) legend.add("<path class=\"fall words\" d=\"M8 0h14\"/>", chart.fall_means);
  add({.changed = true}, chart.changed_means);
  add({.estimated = true}, chart.estimated_means);
  add({.missing = true}, chart.missing_means);
  legend.end_line();
  return legend;
}

}  // namespace

bool is_fall(const ChartPoint& before, const ChartPoint& here) {
  return !before.missing && !here.missing && !before.vague && !here.vague && before.bytes > here.bytes;
}

std::string LineChart::svg() const {
  const Legend words = legend(*this, 76);
  const std::size_t columns = panels.size() > 1 ? 2 : 1;
  const double width = (kWidth - 2 * kMargin - kGap * static_cast<double>(columns - 1)) / static_cast<double>(columns);
  double bottom = words.bottom() + 4;
  std::string drawn;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const double left = kMargin + static_cast<double>(i % columns) * (width + kGap);
    drawn += panel_svg(*this, panels[i], left, bottom, width);
    if (i % columns == columns - 1 || i + 1 == panels.size()) bottom += kPanelHeight + 8;
  }
  for (const std::string& note : notes) {
    drawn +=
        fmt::format("<text class=\"dim\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", kMargin, bottom + 12, escaped(note));
    bottom += 18;
  }
  const double height = bottom + 12;
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" "
             "height=\"{:.0f}\" "
             "role=\"img\">\n<title>{}</title>\n<style>{}</style>\n",
             kWidth, height, kWidth, height, escaped(title), kStyle) +
         fmt::format("<rect class=\"page\" width=\"{:.0f}\" height=\"{:.0f}\" rx=\"8\"/>\n", kWidth, height) +
         fmt::format("<text class=\"title\" x=\"{:.1f}\" y=\"32\">{}</text>\n", kMargin, escaped(title)) +
         fmt::format("<text class=\"dim\" x=\"{:.1f}\" y=\"52\">{}</text>\n", kMargin, escaped(subtitle)) +
         words.text() + drawn + "</svg>\n";
}

}  // namespace mnemo::command
