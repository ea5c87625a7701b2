#!/usr/bin/env python3
"""Memory of training steps in PyTorch and in mnemo, without a GPU.

    torch_peaks.py --mnemo build/release/examples/mnemo [--device virtual:h200] [--card h200] [--out peaks.json]

PyTorch runs on benchmarks/torch_stand_in: its own allocator counts what its own operations ask for, convolutions with
the workspaces of the plans that its cuDNN ranks first for the card; attention by its own kernels (flash, or efficient in
float32), as the stand-in has none of cuDNN's. mnemo runs on the virtual card. Each point is trained
as PyTorch does by default (eager) and with channels last; figures are those of the third step. Layers of which a smaller
input needs more memory, or should not, are trained by mnemo with the policy `pytorch`, and with the cuDNN of PyTorch's
packages; by PyTorch also with expandable_segments, which leave no rests in its blocks. Needs a PyTorch for CUDA.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "torch_stand_in"))

import stand_in  # noqa: E402

# model, batch, size, dtype, autocast, optimizer
POINTS = (("resnet50", 256, 224, "bfloat16", "", "sgd"), ("unet3d", 2, 96, "bfloat16", "", "adam"),
          ("resnet50", 64, 224, "float32", "bfloat16", "sgd"), ("resnet18", 64, 224, "float32", "", "sgd"),
          ("vgg16", 32, 224, "float32", "", "sgd"), ("simple-conv", 64, 28, "float32", "", "adam"),
          ("mlp", 64, 28, "float32", "", "adam"), ("transformer", 64, 1024, "bfloat16", "", "adam"),
          ("transformer", 64, 1024, "float32", "bfloat16", "adam"), ("transformer", 64, 1024, "float32", "", "adam"))
# layer, sizes, dtype, variant
LAYERS = (("conv2d:256,256,k7,p3@1x256", (40, 48, 56, 64, 80, 112), "float32", "eager"),
          ("conv3d:16,32,k7,p3@16x16", (32, 40, 48, 56), "bfloat16", "channels-last"))
AMP = {"bfloat16": "bf16", "float16": "fp16"}
FIGURES = ("peak_allocated", "peak_reserved")


def torch_figures(environment, point, shape, variant, tf32=False):
    model, batch, _, dtype, amp, optimizer = point
    task = {"model": model, "shape": shape, "batches": [batch], "dtype": dtype, "amp": amp, "variant": variant,
            "benchmark": False, "device": "cuda", "no_grad": False, "seed": 0, "optimizer": optimizer, "warmup": 2,
            "steps": 1, "tf32": tf32, "empty_cache": False,
            "cudnn_attention": False}
    done = subprocess.run([sys.executable, str(HERE / "torch_worker.py")], input=json.dumps(task), env=environment,
                          capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise RuntimeError(f"{point} {variant}: {answer['error']}")
    return answer, {name: answer["batches"][0][name] for name in FIGURES}


def mnemo(command, *words, environment=None):
    return json.loads(subprocess.run([command, *words, "--json"], check=True, capture_output=True, text=True,
                                     env=environment).stdout)


def mnemo_figures(options, point, *more):
    model, batch, size, dtype, amp, optimizer = point
    answer = mnemo(options.mnemo, "step", model, "--device", options.device, "--batch", str(batch), "--size", str(size),
                   "--dtype", dtype, *(["--amp", AMP[amp]] if amp else []), "--optimizer", optimizer, "--steps", "3", *more)
    step = answer["runs"][0]["steps"][-1]
    return {name: step[name] for name in FIGURES}


def layer_rows(options, environment):
    """Peaks of one convolution's steps at each size, in both."""
    exact = {**environment, "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    cudnn = {**os.environ, "CUDNN_ROOT": str(stand_in.packages() / "cudnn")}
    for layer, sizes, dtype, variant in LAYERS:
        rank = 2 if layer.startswith("conv2d") else 3
        for size in sizes:
            name = layer + f"x{size}" * rank
            shape = [int(edge) for edge in name.split("@")[1].split("x")]
            point = (name, shape[0], size, dtype, "", "sgd")
            _, peer = torch_figures(environment, point, shape[1:], variant, tf32=True)
            _, expandable = torch_figures(exact, point, shape[1:], variant, tf32=True)
            answer = mnemo(options.mnemo, "step", name, "--device", options.device, "--dtype", dtype, "--policy", "pytorch",
                           *(["--layout", "channels-last"] if variant == "channels-last" else []), "--optimizer", "sgd",
                           "--steps", "3", environment=cudnn)
            own = answer["runs"][0]["steps"][-1]["peak_allocated"]
            print(f"{name:44} {dtype:8} {peer['peak_allocated'] / 2**20:9.1f} {expandable['peak_allocated']:12} {own:12}",
                  flush=True)
            yield {"layer": name, "dtype": dtype, "variant": variant, "torch": peer, "torch_expandable": expandable,
                   "mnemo_peak_allocated": own}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--mnemo", required=True, help="the command")
    parser.add_argument("--device", default="virtual:h200", help="of mnemo")
    parser.add_argument("--card", default="h200", help="of PyTorch: a name in cuda/cards")
    parser.add_argument("--out", default="", help="a JSON file")
    options = parser.parse_args()
    environment = stand_in.environment(stand_in.CARDS / f"{options.card}.json")
    inputs = {model["name"]: model["input"] for model in mnemo(options.mnemo, "models")["models"]}
    rows, about = [], {}
    print(f"{'model':12} {'batch':>5} {'size':>4} {'dtype':8} {'autocast':8} {'optim.':6} {'eager':>9} {'ch. last':>9} "
          f"{'mnemo':>9} {'':>5} {'in place':>9}          (MiB, peak allocated)")
    for point in POINTS:
        shape = [inputs[point[0]][1]] + [point[2]] * (len(inputs[point[0]]) - 2)
        about, eager = torch_figures(environment, point, shape, "eager")
        _, last = torch_figures(environment, point, shape, "channels-last")
        own, lean = mnemo_figures(options, point), mnemo_figures(options, point, "--in-place")
        rows.append(dict(zip(("model", "batch", "size", "dtype", "amp", "optimizer"), point), torch_eager=eager,
                         torch_channels_last=last, mnemo=own, mnemo_in_place=lean))
        peaks = [figures["peak_allocated"] for figures in (eager, last, own, lean)]
        best = min(peaks[:2])
        print(f"{point[0]:12} {point[1]:5} {point[2]:4} {point[3]:8} {point[4]:8} {point[5]:6} {peaks[0] / 2**20:9.1f} "
              f"{peaks[1] / 2**20:9.1f} {peaks[2] / 2**20:9.1f} {peaks[2] / best:5.2f} {peaks[3] / 2**20:9.1f} "
              f"{peaks[3] / best:5.2f}", flush=True)
    print(f"\n{'layer':44} {'dtype':8} {'MiB':>9} {'expandable':>12} {'mnemo':>12} (bytes; peak allocated)")
    layers = list(layer_rows(options, environment))
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"torch": about.get("torch"), "cudnn": about.get("cudnn"), "card": options.card,
                       "device": options.device, "points": rows, "layers": layers}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
