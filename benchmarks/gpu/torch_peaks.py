#!/usr/bin/env python3
"""Peaks of training steps in PyTorch and in mnemo, without a GPU.

    torch_peaks.py --mnemo build/release/examples/mnemo [--device virtual:h200] [--out peaks.json]

PyTorch runs on its device "meta": every operation happens with shapes alone, and the storages that are alive are added
up, in blocks of 512 bytes, as its allocator for CUDA counts them. Workspaces of libraries are not in that sum; in
mnemo's figures, of a virtual card, they are. So the quotient is to mnemo's disadvantage. Autocast has no rules for
"meta": what is compared is trained in one dtype. Needs PyTorch, of any kind, and the standard library.
"""
import argparse
import json
import subprocess
import weakref

import torch
from torch.nn import functional as F
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import torch_models

BLOCK = 512
# model, batch, size, dtype, optimizer
POINTS = (("resnet50", 256, 224, "bfloat16", "sgd"), ("unet3d", 2, 96, "bfloat16", "adam"),
          ("resnet18", 64, 224, "float32", "sgd"), ("vgg16", 32, 224, "float32", "sgd"),
          ("simple-conv", 64, 28, "float32", "adam"), ("mlp", 64, 28, "float32", "adam"))


class Storages(TorchDispatchMode):
    """Adds up the storages that operations return, from then until nobody holds them."""

    def __init__(self):
        super().__init__()
        self.alive, self.bytes, self.peak = {}, 0, 0

    def add(self, tensor):
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.alive:
            return
        self.alive[key] = -(-storage.nbytes() // BLOCK) * BLOCK
        self.bytes += self.alive[key]
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self.remove, key)

    def remove(self, key):
        self.bytes -= self.alive.pop(key)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.add(tensor)
        return result


def torch_peak(model, channels, rank, batch, size, dtype, optimizer):
    """Bytes at the peak of the third step, when the optimizer's state is there."""
    dtype = getattr(torch, dtype)
    with torch.device("meta"):
        module, classes, dense = torch_models.make(model)
    module = module.to(dtype)
    storages = Storages()
    for tensor in (*module.parameters(), *module.buffers()):
        storages.add(tensor)
    rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    updates = rule(module.parameters(), lr=0.001)
    sizes = [size] * rank
    for _ in range(3):
        storages.peak = storages.bytes
        with storages:
            x = torch.randn(batch, channels, *sizes, device="meta", dtype=dtype)
            targets = torch.empty([batch, *(sizes if dense else [])], dtype=torch.int64, device="meta")
            y = module(x)
            loss = F.cross_entropy(y, targets) if classes else y.pow(2).mean()
            updates.zero_grad(set_to_none=True)
            loss.backward()
            updates.step()
            del x, targets, y, loss
    return storages.peak


def mnemo(command, *words):
    return json.loads(subprocess.run([command, *words, "--json"], check=True, capture_output=True, text=True).stdout)


def mnemo_peak(options, model, batch, size, dtype, optimizer, *more):
    answer = mnemo(options.mnemo, "step", model, "--device", options.device, "--batch", str(batch), "--size", str(size),
                   "--dtype", dtype, "--optimizer", optimizer, "--steps", "3", *more)
    return answer["runs"][0]["steps"][-1]["peak_allocated"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--mnemo", required=True, help="the command")
    parser.add_argument("--device", default="virtual:h200", help="of mnemo")
    parser.add_argument("--out", default="", help="a JSON file")
    options = parser.parse_args()
    inputs = {model["name"]: model["input"] for model in mnemo(options.mnemo, "models")["models"]}
    rows = []
    print(f"{'model':12} {'batch':>5} {'size':>4} {'dtype':8} {'optim.':6} {'PyTorch':>9} {'mnemo':>9} {'':>5} "
          f"{'in place':>9}          (MiB)")
    for model, batch, size, dtype, optimizer in POINTS:
        shape = inputs[model]
        peer = torch_peak(model, shape[1], len(shape) - 2, batch, size, dtype, optimizer)
        own = mnemo_peak(options, model, batch, size, dtype, optimizer)
        lean = mnemo_peak(options, model, batch, size, dtype, optimizer, "--in-place")
        rows.append({"model": model, "batch": batch, "size": size, "dtype": dtype, "optimizer": optimizer,
                     "torch": peer, "mnemo": own, "mnemo_in_place": lean})
        print(f"{model:12} {batch:5} {size:4} {dtype:8} {optimizer:6} {peer / 2**20:9.1f} {own / 2**20:9.1f} "
              f"{own / peer:5.2f} {lean / 2**20:9.1f} {lean / peer:5.2f}", flush=True)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "device": options.device, "points": rows}, file, indent=1)


if __name__ == "__main__":
    main()
