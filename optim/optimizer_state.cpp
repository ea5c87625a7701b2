// State of optimizers in files.
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/staged_values.h>
#include <mnemo/core/tensor_file.h>
#include <mnemo/optim/fresh_state.h>
#include <mnemo/optim/optimizer.h>

namespace mnemo::optim {

namespace {

constexpr const char* kSteps = "steps";
constexpr const char* kRule = "optimizer";
constexpr const char* kRate = "lr";

std::string rule_of(const UpdateCall& call) { return call.rule == UpdateCall::Rule::sgd ? "SGD" : "Adam"; }

/// The whole text as a number that an optimizer takes as its rate.
std::optional<double> read_rate(const std::map<std::string, std::string>& metadata) {
  const auto at = metadata.find(kRate);
  double rate = 0;
  if (at == metadata.end()) return std::nullopt;
  const char* end = at->second.data() + at->second.size();
  const auto [stop, error] = std::from_chars(at->second.data(), end, rate);
  return error == std::errc() && stop == end && rate >= 0 && rate <= Optimizer::kMostRate ? std::optional(rate)
                                                                                          : std::nullopt;
}

std::string described(const TensorEntry& entry) {
  return fmt::format("{} ({})", entry.dtype, fmt::join(entry.sizes, ", "));
}

bool floats(const TensorEntry& entry) {
  const std::optional<DType> dtype = dtype_of_format(entry.dtype);
  return dtype && is_floating(*dtype);
}

}  // namespace

std::span<const Optimizer::Part> Optimizer::parts() {
  static constexpr std::array<Part, 5> kParts{{{"first_moment", &State::first},
                                               {"second_moment", &State::second},
                                               {"first_moment.largest", &State::first_largest},
                                               {"second_moment.largest", &State::second_largest},
                                               {"master", &State::master}}};
  return kParts;
}

bool Optimizer::keeps(const Part& part, const Array& parameter) const {
  if (part.array == &State::master) return has_master(parameter);
  const bool second = part.array == &State::second || part.array == &State::second_largest;
  const bool largest = part.array == &State::first_largest || part.array == &State::second_largest;
  return moments() >= (second ? 2 : 1) && (!largest || in_8_bits(parameter));
}

void Optimizer::save(const std::string& path, const std::map<std::string, std::string>& metadata) const {
  std::vector<std::int64_t> counts;
  std::vector<NamedArray> arrays;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    counts.push_back(steps(i));
    if (counts.back() == 0) continue;  // all steps were skipped, or there were none: the state is as when it begins
    for (const Part& part : parts()) {
      const Array& array = states_[i].*part.array;
      if (!array.defined()) continue;
      if (array.dtype() == DType::uint8 && !array.is_contiguous()) {
        fail<ShapeError>("optimizer",
                         fmt::format("the 8-bit moments of parameter {} {} lie in the order of its memory, "
                                     "which is not row-major: they cannot be saved",
                                     i, array.shape().text()));
      }
      arrays.push_back({fmt::format("{}.{}", i, part.name), array});
    }
  }
  arrays.push_back({kSteps, Array::from<std::int64_t>(counts, {static_cast<std::int64_t>(counts.size())}, "cpu")});
  std::map<std::string, std::string> all = metadata;
  all[kRule] = rule_of(call(1));
  all[kRate] = fmt::format("{}", lr_);
  write_tensors(path, arrays, all);
}

void Optimizer::load(const std::string& path) {
  TensorFile file(path);
  std::vector<std::string> faults;
  const auto refuse = [&] {
    if (faults.empty()) return;
    throw FileError(
        fmt::format("{}: is no state for this optimizer, which is as it was:\n  {}", path, fmt::join(faults, "\n  ")));
  };
  const auto rule = file.metadata().find(kRule);
  const std::string own = rule_of(call(1));
  if (rule == file.metadata().end() || rule->second != own)
    faults.push_back(fmt::format("its metadata say optimizer = {}, not {}",
                                 rule == file.metadata().end() ? "nothing" : rule->second, own));
  const std::optional<double> rate = read_rate(file.metadata());
  if (!rate) faults.push_back("its metadata have no lr that is a number from 0 on");
  const TensorEntry* steps = file.find(kSteps);
  const std::vector<std::int64_t> sizes{static_cast<std::int64_t>(parameters_.size())};
  if (steps == nullptr || steps->dtype != format_name(DType::int64) || steps->sizes != sizes)
    faults.push_back(fmt::format("steps is {}, for {} parameters", steps == nullptr ? "not there" : described(*steps),
                                 parameters_.size()));
  refuse();

  // A device of its own: what passes through it does not show in the ledger of the program's.
  const Device host = Device::open("cpu", {});
  const std::vector<std::int64_t> counts = file.read(*steps, host).values<std::int64_t>();
  struct Pair {
    const TensorEntry* entry;
    Array* place;
  };
  std::vector<Pair> pairs;
  std::vector<std::size_t> stepped;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (counts[i] < 0) faults.push_back(fmt::format("steps of parameter {} is {}", i, counts[i]));
    if (counts[i] > 0) stepped.push_back(i);
    for (const Part& part : parts()) {
      if (counts[i] <= 0 || !keeps(part, parameters_[i].array())) continue;
      const std::string name = fmt::format("{}.{}", i, part.name);
      if (const TensorEntry* entry = file.find(name); entry != nullptr)
        pairs.push_back({entry, &(states_[i].*part.array)});
      else
        faults.push_back(fmt::format("missing: {}", name));
    }
  }
  std::set<std::string_view> known{kSteps};
  for (const Pair& pair : pairs) known.insert(pair.entry->name);
  for (const TensorEntry& entry : file.entries()) {
    if (!known.contains(entry.name)) faults.push_back(fmt::format("not of this optimizer: {}", entry.name));
  }
  refuse();

  Missing missing;
  for (const std::size_t i : stepped) add_missing(i, missing);
  FreshState made(std::move(missing));
  for (const auto& [entry, place] : pairs) {
    const bool casts = is_floating(place->dtype()) && floats(*entry);
    if (!std::equal(entry->sizes.begin(), entry->sizes.end(), place->shape().begin(), place->shape().end()) ||
        (!casts && entry->dtype != format_name(place->dtype()))) {
      faults.push_back(fmt::format("{} is {} in the file, {} {} here", entry->name, described(*entry),
                                   format_name(place->dtype()), place->shape().text()));
    } else if (place->dtype() == DType::uint8 && !place->is_contiguous()) {
      faults.push_back(fmt::format("{}: the parameter is not row-major, its 8-bit moments are", entry->name));
    }
  }
  refuse();
  StagedValues staged;
  for (const auto& [entry, place] : pairs) {
    if (!place->device().is_virtual()) staged.add(file.read(*entry, host), *place);
  }

  // All memory is there: nothing fails behind this.
  made.keep();
  staged.write();
  for (std::size_t i = 0; i < states_.size(); ++i) {
    State& state = states_[i];
    state.steps = counts[i];
    if (state.skipped.defined()) fill(state.skipped, 0);
    const std::uint32_t version = parameters_[i].array().storage()->version();
    // Where nothing was stepped, the copy follows the parameter at the next step.
    state.version = counts[i] > 0 ? version : version - 1;
    if (counts[i] > 0) continue;
    for (const Array& array : {state.first, state.second, state.first_largest, state.second_largest}) {
      if (array.defined()) fill(array, 0);
    }
  }
  set_lr(*rate);
}

}  // namespace mnemo::optim
