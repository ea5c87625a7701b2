// LineChart: curves of bytes against a size as an SVG picture, text only, for light and dark pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace mnemo::command {

struct ChartPoint {
  std::int64_t x = 0;
  std::int64_t bytes = 0;
  std::string title = {};  ///< shown when pointed at
  bool changed = false;    ///< a diamond: something else is at work than at the point before
  bool estimated = false;  ///< hollow
  bool vague = false;      ///< nothing is said of falls to it or from it
  bool missing = false;    ///< a cross: the bytes are not known; the curve is interrupted
};

/// Whether a curve is seen to fall from one point to the next.
bool is_fall(const ChartPoint& before, const ChartPoint& here);

struct ChartCurve {
  std::size_t series = 0;          ///< index into LineChart::series
  std::vector<ChartPoint> points;  ///< by rising x
};

struct ChartPanel {
  std::string title;
  std::vector<ChartCurve> curves;
  std::string x_title = {};  ///< unless empty, in place of the chart's
};

/// What its curves look like in every panel: a colour out of eight that the colour-blind tell apart, and a dash.
struct ChartSeries {
  std::string name;
  std::size_t colour = 0, dash = 0;
};

struct LineChart {
  std::string title, subtitle, x_title;
  std::vector<ChartSeries> series;
  std::vector<ChartPanel> panels;
  std::string changed_means, missing_means, fall_means, estimated_means;  ///< words for the symbols that are used
  std::vector<std::string> notes;                                         ///< lines below the panels

  /// A <polyline> for each curve of each panel; more where it is interrupted. Where a curve falls towards a larger x it
  /// is highlighted, and the deepest fall of each panel has its bytes beside it.
  std::string svg() const;
};

}  // namespace mnemo::command
