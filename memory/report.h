// The report: one HTML file that shows a recording, or two side by side, in any browser and without a network.
// The events themselves are in it; what words and tables go with them, ReportText says.
#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// A table of texts; every row has as many cells as there are columns. A cell such as "25,690,112 B" is a size, which
/// the page writes in units that people read; by these and by numbers such as "25,690,112" columns can be sorted.
struct ReportTable {
  std::vector<std::string> columns = {};
  std::vector<std::vector<std::string>> rows = {};
};

struct ReportRun {
  Recording recording;
  std::string name;         ///< of the file, or "batch 8"
  ReportTable layers = {};  ///< empty: the page makes one from the events
};

/// One cause of a change: its label, where it happened, and why it is believed.
struct ReportPart {
  std::string label;
  Bytes bytes = 0;
  std::string where = {};
  std::string evidence = {};
};
/// A change as a sum: `from` plus the parts is `to`.
struct ReportSum {
  std::string title;  ///< such as "peak allocated"
  Bytes from = 0;
  Bytes to = 0;
  std::vector<ReportPart> parts = {};
};

/// One point of a sweep over batch sizes, resolutions, ...
struct ReportPoint {
  std::string label;    ///< the number that was varied, or any text
  Bytes allocated = 0;  ///< the peak; where it does not fit, what it needs at least
  Bytes reserved = 0;
  bool fits = true;
  std::string note = {};  ///< what is remarkable about it, if anything is
};
/// Points along one axis, the others being fixed. Those with the same `axis` are shown side by side.
struct ReportSweep {
  std::string title;   ///< "size 224": what is fixed
  Bytes capacity = 0;  ///< 0: no line
  std::vector<ReportPoint> points = {};
  std::string axis = {};  ///< "batch": what is varied
};

/// What others have found out about the runs. All of it may be empty: the page then says what it can work out itself.
struct ReportText {
  std::vector<std::string> answer = {};                          ///< paragraphs; the first one is the sentence on top
  std::vector<ReportSum> sums = {};                              ///< of two runs: the differences
  std::vector<ReportSweep> sweeps = {};                          ///< a strip of small charts
  std::vector<std::pair<std::string, std::string>> footer = {};  ///< more of what is needed to repeat the runs
};

/// Writes the page. The same input gives the same bytes. Throws Error, having written nothing, unless there are one or
/// two runs, every sum adds up and every table is rectangular.
void write_report(std::ostream& out, std::span<const ReportRun> runs, const ReportText& text = {});

}  // namespace mnemo::memory
