// Table: text in aligned columns.
#pragma once

#include <string>
#include <vector>

namespace mnemo::command {

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::right;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell per column; missing ones are empty.
  void add(std::vector<std::string> cells);
  /// The lines, each with `indent` blanks before it; titles first, if any column has one.
  std::string text(std::size_t indent = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace mnemo::command
