#!/usr/bin/env python3
"""The operations of bench-arithmetic in PyTorch and in mnemo on the CPU, in turns: milliseconds forward and backward.

    torch_arithmetic.py --bench build/release/benchmarks/bench-arithmetic [--threads 2] [--rounds 3] [--only gelu,lstm]

Prints the smallest time of each and mnemo's as a multiple of PyTorch's. Needs PyTorch and the standard library.
"""
import argparse
import json
import os
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional as F

ELEMENTS = (64, 128, 512)
IMAGES = (16, 64, 56, 56)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(512, 512) for _ in range(4))

    def forward(self, x):
        q, k, v = (p(x).unflatten(-1, (8, 64)).transpose(1, 2) for p in self.projections[:3])
        return self.projections[3](F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Outputs(nn.Module):
    """What a recurrent layer gives at every place."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def cases():
    """Name -> (shape of x, function, parameters)."""
    tokens, mask = torch.randint(0, 8192, (64, 64)), torch.randn(ELEMENTS) > 0
    classes, pixels = torch.randint(0, 1000, (4096,)), torch.randint(0, 64, (16, 56, 56))
    found = {"elementwise/" + f.__name__: (ELEMENTS, f, [])
             for f in (torch.relu, torch.exp, torch.sigmoid, torch.tanh, F.gelu, F.silu)}
    found |= {"softmax_last": (ELEMENTS, lambda x: x.softmax(2), []),
              "softmax_channels": (IMAGES, lambda x: x.softmax(1), []),
              "cross_entropy_classes": ((4096, 1000), lambda x: F.cross_entropy(x, classes), []),
              "cross_entropy_pixels": (IMAGES, lambda x: F.cross_entropy(x, pixels), []),
              "sort_rows": ((256, 8192), lambda x: x.sort(stable=True).values, []),
              "sort_channels": (IMAGES, lambda x: x.sort(dim=1, stable=True).values, []),
              "topk_rows": ((256, 8192), lambda x: x.topk(10).values, []),
              "embedding_rows": ((8192, 512), lambda x: F.embedding(tokens, x), []),
              "where_masked": (ELEMENTS, lambda x: torch.where(mask, x, -1.0), []),
              "mean_rows": ((4096, 1024), lambda x: x.mean(0), []),
              "transposed_copy": ((4096, 1024), lambda x: x.T.contiguous(), []),
              "bilinear": ((16, 64, 28, 28), lambda x: F.interpolate(x, size=56, mode="bilinear"), [])}
    layers = {"layer_norm": (ELEMENTS, nn.LayerNorm(512)), "rms_norm": (ELEMENTS, nn.RMSNorm(512)),
              "group_norm": (IMAGES, nn.GroupNorm(8, 64)),
              "batch_norm": (IMAGES, nn.BatchNorm2d(64)),
              "lstm": ((32, 64, 256), Outputs(nn.LSTM(256, 256, batch_first=True))),
              "lstm_small": ((8, 32, 64), Outputs(nn.LSTM(64, 64, batch_first=True))),
              "gru_small": ((8, 32, 64), Outputs(nn.GRU(64, 64, batch_first=True))),
              "attention": ((8, 256, 512), Attention())}
    return found | {name: (shape, net, list(net.parameters())) for name, (shape, net) in layers.items()}


def torch_milliseconds(shape, f, parameters):
    x = torch.randn(shape, requires_grad=True)
    ones = torch.ones_like(f(x))
    best, end = float("inf"), time.perf_counter() + 0.7
    while time.perf_counter() < end:
        begin = time.perf_counter()
        f(x).backward(ones)
        x.grad = None
        for parameter in parameters:
            parameter.grad = None
        best = min(best, time.perf_counter() - begin)
    return 1000 * best


def mnemo_milliseconds(bench, name, threads):
    """The smallest of repetitions so short that each is a few steps."""
    text = subprocess.run([bench, f"--benchmark_filter=^{name}/real_time$", "--benchmark_format=json",
                           "--benchmark_min_time=0.02", "--benchmark_repetitions=20"], check=True,
                          stdout=subprocess.PIPE, env={**os.environ, "MNEMO_THREADS": str(threads)}).stdout
    return min(run["real_time"] for run in json.loads(text)["benchmarks"] if run["run_type"] == "iteration")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="bench-arithmetic")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of names, with commas")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"PyTorch {torch.__version__}, {options.threads} threads, float32: ms forward and backward")
    print(f"{'':24}{'PyTorch':>10}{'mnemo':>10}{'ratio':>8}")
    for name, case in cases().items():
        if not any(part in name for part in options.only.split(",")):
            continue
        theirs, ours = float("inf"), float("inf")
        for _ in range(options.rounds):
            theirs = min(theirs, torch_milliseconds(*case))
            time.sleep(0.5)  # until PyTorch's threads no longer wait in loops
            ours = min(ours, mnemo_milliseconds(options.bench, name, options.threads))
        print(f"{name:24}{theirs:10.3f}{ours:10.3f}{ours / theirs:8.2f}", flush=True)


if __name__ == "__main__":
    main()
