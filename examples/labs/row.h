// A lab: claims about memory, each with a prediction by arithmetic, a measurement, and the verdict that follows from
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/mnemo.h>

#include "labs/recorded_devices.h"

namespace mnemo::labs {

/// One number, predicted and measured. Bytes unless the name says otherwise.
struct Figure {
  std::string name;
  std::optional<std::int64_t> predicted;  ///< absent where only the allocator's history decides
  std::int64_t measured = 0;

  bool agrees() const { return !predicted || *predicted == measured; }
};

enum class Verdict { holds, fails, depends };
/// "true", "false", "depends"
const char* name(Verdict verdict);

/// One claim.
struct Row {
  std::string claim;      ///< "A1"
  std::string statement;  ///< what is claimed
  std::vector<Figure> figures;
  Verdict verdict = Verdict::depends;
  std::string because;  ///< what the measured figures say
  std::string mechanism;

  bool agrees() const;
};

/// What begins `because` where the verdict depends on something: "on what is read: "; else nothing.
std::string depending(Verdict verdict, const char* on_what);

struct Lab {
  const char* name;
  const char* description;
  /// The device that the lab takes where this one is asked for.
  std::string (*place)(const std::string& device);
  /// Runs on devices of this name, a fresh one wherever a claim speaks of a fresh process.
  std::vector<Row> (*run)(const std::string& device);
};

const std::vector<Lab>& labs();

// The labs' functions; labs() lists them.
std::vector<Row> batch_size_lab(const std::string& device);
std::vector<Row> resolution_lab(const std::string& device);
std::vector<Row> reported_lab(const std::string& device);
std::vector<Row> checkpoint_lab(const std::string& device);
std::vector<Row> conv1d_lab(const std::string& device);
std::vector<Row> network_size_lab(const std::string& device);
std::vector<Row> initialization_lab(const std::string& device);
/// The reports are of an A100 80GB: that card, unless another one is asked for.
std::string reported_place(const std::string& device);

/// The device that decides as this one does and computes nothing: "virtual:cpu:2GiB" of "cpu:2GiB", else the same.
/// For what would take a CPU too long.
std::string shape_only(const std::string& device);

/// The card that a virtual device stands for, or nullptr.
const Card* card_of(const std::string& device);

/// A2 stands in both: what the batch size does to one convolution.
Row batch_of_one_conv(const std::string& device);

}  // namespace mnemo::labs
