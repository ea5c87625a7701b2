#!/usr/bin/env python3
"""What PyTorch's caching allocator does, event by event: snapshots with their traces, for mnemo's allocator to replay.

    torch_traces.py --out benchmarks/results/MACHINE/torch-traces      records on the GPU, or without one:
    ../torch_stand_in/stand_in.py torch_traces.py --out ...            (addresses downwards: --order descending before it)
    torch_traces.py --strip snapshot.pickle --out DIR                  makes a snapshot that there is as small

Writes one compact JSON file for each case, without stacks, which `mnemo import` and `mnemo replay` read; none is larger
than 300 KiB: a case that would be is recorded again with half as many steps. A case that fails is said and left out.
"""
import argparse
import json
import os
import pathlib
import pickle
import random
import subprocess
import sys

LIMIT = 300 * 1024

# name, model, batches in turn, edge length, dtype of autocast, options of the allocator; without a model: which calls
CASES = (
    ("simple-conv", "simple-conv", (64, 64), 28, "", ""),
    ("simple-conv-batches", "simple-conv", (64, 8, 32, 4, 64), 28, "", ""),
    ("simple-conv-expandable", "simple-conv", (64, 8, 32, 4, 64), 28, "", "expandable_segments:True"),
    ("mlp-batches", "mlp", (64, 7, 512, 33, 128, 4096, 1), 28, "", ""),
    ("resnet18-batches", "resnet18", (8, 13, 3, 16), 160, "", ""),
    ("resnet18-autocast", "resnet18", (32, 20), 224, "bfloat16", ""),
    ("resnet18-expandable", "resnet18", (8, 13, 3), 160, "", "expandable_segments:True"),
    ("resnet18-split", "resnet18", (8, 13, 3, 16), 160, "", "max_split_size_mb:20"),
    ("resnet18-rounded", "resnet18", (8, 13, 3, 16), 160, "", "roundup_power2_divisions:4"),
    ("unet3d-batches", "unet3d", (2, 1, 3, 2), 48, "", ""),
    ("unet3d-autocast", "unet3d", (2, 3), 64, "bfloat16", ""),
    ("vgg16-batches", "vgg16", (4, 7, 2), 224, "", ""),
    ("equal-blocks", "", (1200,), 0, "", ""),
    ("full", "", (0,), 0, "", ""),
    ("full-expandable", "", (0,), 0, "", "expandable_segments:True"),
    ("late-mlp-batches", "mlp", (64, 7, 512, 33, 1, 128), 28, "", "expandable_segments:True"),
    ("late-unet3d-batches", "unet3d", (2, 1, 3, 2), 32, "", ""),
)

# Of each part of a snapshot: what is kept. Everything else, stacks first of all, says nothing about memory.
SEGMENT = ("device", "address", "total_size", "allocated_size", "active_size", "requested_size", "stream",
           "segment_type", "segment_pool_id", "is_expandable")
BLOCK = ("address", "size", "requested_size", "state")
EVENT = ("action", "addr", "size", "stream", "pool_id", "time_us", "device_free")
OWN_POOLS = ([0, 0], (0, 0), None)


def kept(dictionary, keys):
    return {key: dictionary[key] for key in keys
            if key in dictionary and not (key.endswith("pool_id") and dictionary[key] in OWN_POOLS)}


def strip(snapshot):
    """The snapshot without stacks and user metadata, times from 0; addresses as they were: their order decides ties."""
    first = min((event["time_us"] for trace in snapshot["device_traces"] for event in trace if "time_us" in event),
                default=0)
    traces = [[kept(event, EVENT) for event in trace] for trace in snapshot["device_traces"]]
    for trace in traces:
        for event in trace:
            if "time_us" in event:
                event["time_us"] -= first
    segments = [{**kept(segment, SEGMENT), "blocks": [kept(block, BLOCK) for block in segment["blocks"]]}
                for segment in snapshot["segments"]]
    return {"segments": segments, "device_traces": traces,
            "allocator_settings": snapshot.get("allocator_settings", {})}


def write(snapshot, path):
    """Returns the file's size; nothing is written beyond the limit."""
    text = json.dumps(snapshot, separators=(",", ":"))
    if len(text) <= LIMIT:
        path.write_text(text + "\n", encoding="utf-8")
    return len(text)


def record(model, batches, size, amp, late):
    """The snapshot of a training, or, without a model, of that many random calls, or of what fills the device."""
    import torch

    torch.cuda.init()
    start = lambda: torch.cuda.memory._record_memory_history(max_entries=1_000_000, context=None, stacks="python")
    if not late:
        start()
    if model:
        train(model, batches, size, amp, start if late else None)
    elif batches[0]:
        allocate(batches[0])
    else:
        fill()
    torch.cuda.synchronize()
    snapshot = torch.cuda.memory._snapshot()
    torch.cuda.memory._record_memory_history(enabled=None)
    return snapshot


def allocate(calls):
    """Blocks of few sizes come and go, so that free ones of equal size in several segments are the rule."""
    import torch

    draw, blocks, share = random.Random(4), [], 0.5
    sizes = [512, 1024, 1536, 4096, 300_000, 700_000, *(mib << 20 for mib in (1, 2, 3, 3, 5, 8, 9, 12, 14, 24))]
    for i in range(calls):
        if i % 100 == 0:
            share = draw.choice((0.75, 0.5, 0.25))
        if draw.random() < share or not blocks:
            blocks.append(torch.empty(draw.choice(sizes), dtype=torch.uint8, device="cuda"))
        elif draw.random() < 0.98:
            del blocks[draw.randrange(len(blocks))]
        else:
            torch.cuda.empty_cache()


def fill():
    """Blocks of a 30th of the device until one fails; others once every second of them is free."""
    import torch

    def block(share):
        try:
            blocks.append(torch.empty(torch.cuda.mem_get_info()[1] // share, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            return False
        return True

    blocks = []
    while block(30):
        pass
    del blocks[::2]
    for share in (5, 90, 90, 90, 2, 200, 31):
        block(share)


def train(model, batches, size, amp, begin_late):
    """A step for each batch; `begin_late` is called after the second one, when the cache has been emptied."""
    import torch
    from torch.nn import functional as F

    import torch_models

    module, classes, dense = torch_models.make(model)
    module = module.cuda()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.001)
    rank, channels = {"unet3d": (3, 1), "mlp": (2, 1)}.get(model, (2, 3))
    for number, batch in enumerate(batches):
        if number == 2 and begin_late:
            torch.cuda.empty_cache()
            begin_late()
        x = torch.randn(batch, channels, *[size] * rank, device="cuda")
        targets = torch.randint(0, classes, (batch, *([size] * rank if dense else [])), device="cuda")
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", getattr(torch, amp or "bfloat16"), enabled=bool(amp)):
            loss = F.cross_entropy(module(x), targets)
        loss.backward()
        optimizer.step()
        loss.item()
        del x, targets, loss


def record_alone(case, batches):
    """In a process of its own, whose allocator is new and has the options."""
    name, model, _, size, amp, options = case
    order = json.dumps({"model": model, "batches": batches, "size": size, "amp": amp, "late": name.startswith("late")})
    code = ("import json,os,pickle,sys\n"
            "order = json.loads(sys.argv[1])\n"
            "out = os.fdopen(os.dup(1), 'wb'); os.dup2(2, 1)\n"
            "import torch_traces\n"
            "pickle.dump(torch_traces.strip(torch_traces.record(**order)), out)\n")
    environment = {**os.environ, "PYTORCH_CUDA_ALLOC_CONF": options, "PYTORCH_ALLOC_CONF": options}
    if not options:
        for key in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
            environment.pop(key)
    done = subprocess.run([sys.executable, "-c", code, order], capture_output=True, timeout=300, env=environment,
                          cwd=pathlib.Path(__file__).resolve().parent, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
    return pickle.loads(done.stdout)


def record_case(case, out):
    batches = list(case[2])
    while True:
        size = write(record_alone(case, batches), out / f"{case[0]}.json")
        if size <= LIMIT or len(batches) == 1:
            return batches, size
        batches = batches[:max(1, len(batches) // 2)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--out", required=True, type=pathlib.Path, help="the folder")
    parser.add_argument("--only", default="", help="beginnings of names, with commas")
    parser.add_argument("--strip", nargs="*", type=pathlib.Path, help="snapshots to make small, instead of recording")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failures = 0
    if options.strip:
        for path in options.strip:
            size = write(strip(pickle.loads(path.read_bytes())), options.out / f"{path.stem}.json")
            print(f"{path.stem}: {size} bytes{'' if size <= LIMIT else ', too large: not written'}")
            failures += size > LIMIT
        return failures > 0
    wanted = [word for word in options.only.split(",") if word]
    for case in CASES:
        if wanted and not any(case[0].startswith(word) for word in wanted):
            continue
        try:
            batches, size = record_case(case, options.out)
            failures += size > LIMIT
            print(f"{case[0]}: batches {batches}, {size} bytes{'' if size <= LIMIT else ', too large: not written'}")
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            failures += 1
            print(f"{case[0]}: failed: {error}")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
