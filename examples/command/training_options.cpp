#include "command/training_options.h"

#include "command/numbers.h"

namespace mnemo::command {

void add_training(CLI::App& verb, TrainingOptions& options) {
  verb.add_option("--optimizer", options.optimizer, "sgd (without momentum), adam or adam8bit. (sgd)");
  verb.add_option("--amp", options.amp,
                  "Autocast: products and convolutions in bf16 or fp16, parameters in float32; fp16 scales the loss. "
                  "(no)");
  verb.add_option("--accumulate", options.accumulate, "Batches whose gradients make one update. (1)");
  verb.add_option("--checkpoint", options.checkpoint,
                  "none, a number of segments, auto (the least memory for 16 % more operations), plan:SIZE (the "
                  "fewest operations with at most SIZE allocated), or a plan such as '0 (1 2) 3'. (none)");
  verb.add_flag("--optimizer-in-backward", options.optimizer_in_backward,
                "Update each parameter as soon as its gradient is complete, and free the gradient.");
  verb.add_flag("--in-place", options.in_place,
                "Activations overwrite their inputs; batch norm with its relu keeps one tensor. Same values and "
                "gradients.");
  verb.add_flag("--offload", options.offload,
                "What the forward pass saves for backward, from 1 MiB per tensor on, waits in host memory.");
  verb.add_flag("--recover", options.recover,
                "A step that does not fit is done again in parts of the batch, half as large.");
  verb.add_flag("--no-grad", options.no_grad, "The forward pass only, without recording.");
}

training::Rule read_rule(const std::string& word) {
  return choose<training::Rule>(
      "--optimizer", word,
      {{"sgd", training::Rule::sgd}, {"adam", training::Rule::adam}, {"adam8bit", training::Rule::adam8bit}});
}

training::TrainerOptions read_training(const TrainingOptions& options, DType dtype) {
  using Amp = std::optional<DType>;
  training::TrainerOptions training{.rule = read_rule(options.optimizer), .dtype = dtype};
  training.amp = choose<Amp>("--amp", options.amp, {{"no", {}}, {"bf16", DType::bfloat16}, {"fp16", DType::float16}});
  training.accumulate = read_count("--accumulate", options.accumulate);
  training.step_in_backward = options.optimizer_in_backward;
  training.in_place = options.in_place;
  training.offload = options.offload;
  training.recover = options.recover;
  if (training.amp && dtype != DType::float32)
    throw UsageError(fmt::format("--amp is for parameters in float32; with --dtype {} leave it out", name(dtype)));
  if (options.no_grad && (training.step_in_backward || training.accumulate > 1))
    throw UsageError("--no-grad updates nothing: leave out --accumulate and --optimizer-in-backward");
  if (training.step_in_backward && training.accumulate > 1)
    throw UsageError("--optimizer-in-backward frees each gradient at once: it cannot be accumulated; give one of both");
  if (training.step_in_backward && training.amp == DType::float16) {
    throw UsageError(
        "--optimizer-in-backward cannot skip the step of a scaled loss that overflowed; take --amp bf16, which needs "
        "no scale");
  }
  if (options.no_grad && options.checkpoint != "none")
    throw UsageError("--no-grad keeps nothing for backward: there is nothing to --checkpoint");
  if (options.no_grad && training.offload)
    throw UsageError("--no-grad saves nothing for backward: leave out --offload");
  if (training.recover && (training.step_in_backward || training.accumulate > 1 || options.no_grad)) {
    throw UsageError(
        "--recover accumulates by itself, and takes steps back: leave out --accumulate, "
        "--optimizer-in-backward and --no-grad");
  }
  if (options.no_grad) training.rule = training::Rule::nothing;
  return training;
}

}  // namespace mnemo::command
