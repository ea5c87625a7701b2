// Claim B3: half precision, as the model's own type and under autocast, category by category.
#include <fmt/format.h>

#include "labs/flat_network.h"
#include "labs/network_size.h"
#include "labs/training_bytes.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;

constexpr std::int64_t kFew = 4, kMany = 512;

/// One way to train, measured at a batch of few images, and its peak at one of many.
struct Way {
  const char* name;
  TrainingBytes few;
  Bytes peak_of_many = 0;

  Bytes weights() const { return held_as(few.after, Category::parameter); }
  /// In the forward pass, with the half copies of autocast.
  Bytes forward_weights() const { return held_as(few.forward, Category::parameter); }
  Bytes gradients() const { return held_as(few.after, Category::gradient); }
  Bytes state() const { return held_as(few.after, Category::optimizer_state); }
  Bytes kept() const { return held_as(few.forward, Category::saved_activation); }
};

const models::Spec& small_network() { return *models::find_spec("small-network"); }

Way measure_way(const char* name, const training::TrainerOptions& options, const std::string& device) {
  return {name, measure_training(small_network(), options, kFew, device),
          measure_training(small_network(), options, kMany, device).peak.allocated};
}

/// The parameters' type is `own`; `computed` is what convolution and product work in.
void add_figures(Row& row, const Way& way, const Device& device, DType own_type, DType computed_type) {
  const FlatNetworkFormula own(device, 16, kFew, own_type), computed(device, 16, kFew, computed_type);
  const bool autocast = own_type != computed_type;
  const auto of = [&](const std::string& what) { return fmt::format("{}, {}", what, way.name); };
  row.figures.push_back({of("weights"), own.parameters(), way.weights()});
  row.figures.push_back({of("weights and their half copies, forward"),
                         own.parameters() + (autocast ? computed.parameters() : 0), way.forward_weights()});
  row.figures.push_back({of("gradients"), own.parameters(), way.gradients()});
  row.figures.push_back({of("Adam's moments"), 2 * own.parameters(), way.state()});
  const Bytes plane = computed.flatten_copies() ? 2 * computed.plane() : computed.plane();
  row.figures.push_back({of("kept by autograd"), plane + (autocast ? computed.images() : 0), way.kept()});
  for (const std::int64_t batch : {kFew, kMany}) {
    const FlatNetworkFormula formula(device, 16, batch, own_type);
    const bool known = !autocast && !own.flatten_copies();  // the formula is of steps without copies
    row.figures.push_back({of(fmt::format("peak of a step, batch {}", batch)),
                           known ? std::optional(formula.step_peak()) : std::nullopt,
                           batch == kFew ? way.few.peak.allocated : way.peak_of_many});
  }
}

}  // namespace

Row half_precision_row(const std::string& device_name) {
  Row row{.claim = "B3",
          .statement = "Half precision halves the memory of weights and of activations.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const std::string place = shape_only(device_name);
  const Device device = open_device(place, {});
  const training::Rule adam = training::Rule::adam;
  const Way single = measure_way("float32", {.rule = adam}, place);
  const Way pure = measure_way("bfloat16 model", {.rule = adam, .dtype = DType::bfloat16}, place);
  const Way cast = measure_way("autocast", {.rule = adam, .amp = DType::bfloat16}, place);
  add_figures(row, single, device, DType::float32, DType::float32);
  add_figures(row, pure, device, DType::bfloat16, DType::bfloat16);
  add_figures(row, cast, device, DType::float32, DType::bfloat16);
  const TrainingBytes other = measure_training(small_network(), {.rule = adam, .dtype = DType::float16}, kFew, place);
  std::int64_t differ = 0;
  for (std::size_t i = 0; i < other.after.size(); ++i) {
    differ += other.after[i] == pure.few.after[i] ? 0 : 1;
    differ += other.forward[i] == pure.few.forward[i] ? 0 : 1;
  }
  row.figures.push_back({"categories in which a float16 model differs from a bfloat16 one (count)", 0, differ});

  // Up to the rounding of small blocks.
  const auto halves = [](Bytes before, Bytes now) { return 100 * now <= 51 * before; };
  const bool weights = halves(single.weights(), pure.weights()), kept = halves(single.kept(), pure.kept());
  const bool cast_weights = halves(single.weights(), cast.weights()), cast_kept = halves(single.kept(), cast.kept());
  row.verdict = weights && kept && cast_weights && cast_kept   ? Verdict::holds
                : weights || kept || cast_weights || cast_kept ? Verdict::depends
                                                               : Verdict::fails;
  const auto compare = [&](const Way& way) {
    return fmt::format(
        "weights {}, gradients and moments {}, kept activations {}, peak {} at a batch of {} and {} at {}",
        times(way.forward_weights(), single.forward_weights()),
        times(way.gradients() + way.state(), single.gradients() + single.state()), times(way.kept(), single.kept()),
        times(way.few.peak.allocated, single.few.peak.allocated), kFew, times(way.peak_of_many, single.peak_of_many),
        kMany);
  };
  row.because = depending(row.verdict, "on how it is done") +
                fmt::format("a bfloat16 model has, against float32: {}. Autocast: {}", compare(pure), compare(cast));
  row.mechanism =
      "a half model has nothing but half values, at their precision. Autocast leaves weights, gradients and moments in "
      "float32 and adds a half copy of each weight, and of the images, until backward is through: it spares where "
      "activations outweigh the weights, and costs where they do not. float16 and bfloat16 take the same bytes";
  if (FlatNetworkFormula(device, 16, kFew, DType::bfloat16).flatten_copies()) {
    row.mechanism +=
        ". Half convolutions run channels-last here, so that flatten has to copy what the relu made: two half planes "
        "are kept, one for the relu and one for the linear layer, where in float32 both share one";
  }
  return row;
}

}  // namespace mnemo::labs
