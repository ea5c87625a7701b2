#!/usr/bin/env python3
"""Memory, time and losses of training steps in PyTorch and in mnemo, on the same machine in turns.

    torch_compare.py --mnemo build/release/examples/mnemo --out torch.json [--seconds 1500] [--only unet3d,forecast]

Every point is trained by every variant in a process of its own, all of them once before any a second time, so that
what changes on the machine meets all alike. What fails is written down with its words, and the rest goes on; the file
is complete after every single run. Needs PyTorch and the standard library.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch_losses
import torch_models

HERE = pathlib.Path(__file__).resolve().parent
# In this order, since time may end: what compiles or measures plans for long comes last.
NETS = ("eager", "mnemo", "mnemo in place", "graph", "mnemo graph", "channels-last", "mnemo fastest",
        "mnemo graph fastest", "compile")
LAYERS = ("eager", "mnemo", "mnemo pytorch")
LAST = ("eager", "channels-last", "mnemo", "mnemo pytorch")  # layers in a half type

# Steps of a fraction of a millisecond: enough of them that clocks have risen, and that noise does not decide.
SHORT = {"warmup": 100, "steps": 300}
# The points whose figures are asked for first: one round of them comes before everything else.
FIRST = ("simple-conv", "resnet50-autocast", "unet3d-autocast")


def point(name, model, batches=None, size=None, variants=NETS, **options):
    defaults = {"dtype": "float32", "amp": "", "optimizer": "sgd", "no_grad": False, "empty_cache": False,
                "why": "", "size": size, "batches": batches, "warmup": None, "steps": None}
    return {"name": name, "model": model, "variants": variants, **defaults, **options}


def points():
    """What is compared; `batches` None means the model's own, or the layer's."""
    forecast = "forecast: 56 x 56 needs more memory than 80 x 80, as the first-ranked plan's workspace is larger"
    window = "the peak of a step for both sizes"
    report = "reported by users; forward without gradients, one more slice passes 2^31 elements"
    document = "a program of the documents that the labs answer"
    found = [
        point("simple-conv", "simple-conv", [64], 28, optimizer="adam", **SHORT),
        point("resnet50-autocast", "resnet50", [256], 224, amp="bfloat16", optimizer="sgd"),
        point("unet3d-autocast", "unet3d", [2], 96, amp="bfloat16", optimizer="adam"),
    ]
    for size in (56, 80):
        found.append(point(f"forecast-{size}", f"conv2d:256,256,k7,p3@1x256x{size}x{size}", variants=LAYERS,
                           why=forecast))
    for size in (32, 56):
        found.append(point(f"conv3d-k7-{size}", f"conv3d:16,32,k7,p3@16x16x{size}x{size}x{size}", variants=LAST,
                           dtype="bfloat16", why=window))
    for depth in (361, 362):
        found.append(point(f"half-volume-{depth}", f"conv3d:64,32,k3,p1@1x64x{depth}x370x251", variants=LAYERS,
                           dtype="float16", no_grad=True, why=report))
    for depth in (4, 5):
        found.append(point(f"frames-{depth}", f"conv3d:256,64,k3@1x256x{depth}x1090x1922", variants=LAYERS,
                           no_grad=True, why=report))
    for model, batches, size in (
            ("conv3d-pad2", [1], 16), ("conv3d-pad2", [1], 32), ("conv3d-k3", [1, 16], 16), ("conv3d-k7", [1], 16),
            ("small-network", [1, 4], 32), ("larger-conv-network", [1], 32), ("conv1d", [1], 512),
            ("conv1d-downsample", [1], 1024), ("conv1d-separable", [1], 512)):
        found.append(point(f"document-{model}-{size}", model, batches, size, variants=("eager", "mnemo"),
                           why=document))
    found.append(point("document-batches", "simple-conv", [64, 8, 32, 4], 28, variants=("eager", "mnemo"),
                       optimizer="adam", empty_cache=True, why=document))
    found += [
        point("resnet50-bfloat16", "resnet50", [256], 224, dtype="bfloat16"),
        point("unet3d-bfloat16", "unet3d", [2], 96, dtype="bfloat16", optimizer="adam"),
        point("resnet18", "resnet18", [64], 224),
        point("vgg16", "vgg16", [32], 224),
        point("mlp", "mlp", [64], 28, **SHORT),
        point("transformer-autocast", "transformer", [64], 1024, amp="bfloat16", optimizer="adam"),
        point("lstm", "lstm", [64], 64, optimizer="adam"),
    ]
    return found


def quick(task):
    """The same at a size that a CPU does in seconds; None for what cannot be made small."""
    sizes = {"simple-conv": 28, "resnet50": 32, "resnet18": 32, "unet3d": 8, "vgg16": None, "mlp": 28,
             "transformer": 16, "lstm": 8}
    small = dict(task)
    if task["model"] in sizes:
        if sizes[task["model"]] is None:
            return None
        small["size"], small["batches"] = sizes[task["model"]], [2 for _ in task["batches"]]
    shape = torch_models.layer_shape(task["model"])
    if shape:
        edges = "x".join("9" for _ in shape[2:])
        small["model"] = f"{task['model'].split('@')[0]}@1x{shape[1]}x{edges}"
    return small


class Comparison:
    def __init__(self, options):
        self.options, self.begin = options, time.monotonic()
        self.help = self.mnemo("step", "--help", plain=True)
        self.zoo = {model["name"]: model for model in self.mnemo("models", "--json")["models"]}
        self.result = {"complete": False, "options": {k: str(v) for k, v in vars(options).items()}, "losses": [],
                       "parameters": self.check_parameters(), "points": []}

    def left(self):
        return self.options.seconds - (time.monotonic() - self.begin)

    def mnemo(self, *words, plain=False, timeout=300):
        """What the command answers; the words of its error as an exception."""
        done = subprocess.run([self.options.mnemo, *words], capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"mnemo exited with {done.returncode}: {done.stderr.strip()[:1500]}")
        return done.stdout if plain else json.loads(done.stdout)

    def check_parameters(self):
        """The number of trained values of every model, which must be the same in both."""
        counts = {}
        for name, model in self.zoo.items():
            if name not in torch_models.MODELS:
                raise SystemExit(f"mnemo has the model {name}, which torch_models.py does not express")
            counts[name] = torch_models.parameters(torch_models.make(name)[0])
            if counts[name] != model["parameters"]:
                raise SystemExit(f"{name}: {counts[name]} values in PyTorch, {model['parameters']} in mnemo")
        return counts

    def shape(self, task):
        """(the input's shape without its batch, the batches)"""
        shape = torch_models.layer_shape(task["model"])
        if shape:
            return shape[1:], [shape[0]]
        own = self.zoo[task["model"]]["input"]
        return [own[1], *(task["size"] for _ in own[2:])], task["batches"]

    def warmup(self, task):
        return self.options.warmup if self.options.warmup is not None else task["warmup"] or 5

    def timed(self, task):
        return self.options.steps if self.options.steps is not None else task["steps"] or 20

    def run_torch(self, task, variant, number):
        shape, batches = self.shape(task)
        order = {**task, "variant": variant, "shape": shape, "batches": batches, "device": self.options.device,
                 "steps": self.timed(task), "warmup": self.warmup(task), "seed": number, "tf32": True}
        done = subprocess.run([sys.executable, str(HERE / "torch_worker.py")], input=json.dumps(order), text=True,
                              capture_output=True, timeout=self.timeout())
        lines = done.stdout.strip().splitlines()
        if not lines:
            raise RuntimeError(f"exited with {done.returncode}: {done.stderr.strip()[-1500:]}")
        answer = json.loads(lines[-1])
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def run_mnemo(self, task, variant, number):
        _, batches = self.shape(task)
        words = ["step", task["model"], "--device", self.options.device, "--json", "--time", "--seed", str(number),
                 "--steps", str(self.warmup(task) + self.timed(task)), "--optimizer", task["optimizer"],
                 "--dtype", task["dtype"]]
        if torch_models.layer_shape(task["model"]) is None:
            words += ["--batch", ",".join(map(str, batches)), "--size", str(task["size"])]
        if task["dtype"] == "float32":
            words.append("--tf32")  # in both: convolutions and matrix products
        if task["amp"]:
            words += ["--amp", {"bfloat16": "bf16", "float16": "fp16"}[task["amp"]]]
        if task["no_grad"]:
            words.append("--no-grad")
        if task["empty_cache"]:
            words.append("--empty-cache")
        # The models of PyTorch do their relus in place too.
        words += {"mnemo": [], "mnemo in place": ["--in-place"], "mnemo pytorch": ["--policy", "pytorch"],
                  "mnemo fastest": ["--in-place", "--policy", "fastest"],
                  "mnemo graph": ["--in-place", "--graph"],
                  "mnemo graph fastest": ["--in-place", "--graph", "--policy", "fastest"]}[variant]
        if variant.endswith("fastest") and task["dtype"] == "float32" and not task["amp"]:
            words += ["--layout", "channels-last"]  # as PyTorch's tuned variants: TF32 engines transpose nothing then
        if "graph" in variant and "--graph" not in self.help:
            raise RuntimeError("this `mnemo step` has no --graph")
        if variant.endswith("fastest") and self.options.device == "cpu":
            raise RuntimeError("only a GPU's plans are timed")
        answer = self.mnemo(*words, timeout=self.timeout())
        runs = []
        for run in answer["runs"]:
            timed = run["steps"][self.warmup(task):]
            last = timed[-1]
            runs.append({"batch": run["batch"], "allocated": last["allocated"], "reserved": last["reserved"],
                         "peak_allocated": last["peak_allocated"], "peak_reserved": last["peak_reserved"],
                         "seconds": [step["seconds"] for step in timed if "seconds" in step],
                         "losses": [step["loss"] for step in run["steps"] if step["loss"] is not None]})
        return {"parameters": answer["parameters"], "decisions": answer["decisions"], "command": " ".join(words),
                "batches": runs}

    def timeout(self):
        return max(10.0, min(self.options.seconds_per_run, self.left()))

    def run(self, entry, variant, number):
        record = {"variant": variant, "round": number}
        begin = time.monotonic()
        try:
            if self.left() <= 0:
                raise RuntimeError(f"not run: the {self.options.seconds:.0f} s of --seconds are over")
            runner = self.run_mnemo if variant.startswith("mnemo") else self.run_torch
            record.update(runner(entry["task"], variant, number))
        except subprocess.TimeoutExpired as error:
            record["error"] = f"took longer than {error.timeout:.0f} s"
        except (RuntimeError, ValueError, KeyError, IndexError, OSError) as error:
            record["error"] = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
        record["took"] = round(time.monotonic() - begin, 2)
        entry["runs"].append(record)
        entry["summary"] = summary(entry["runs"])
        self.result["forecast"] = forecast(self.result["points"])
        self.write()
        print(f"{entry['name']}, {variant}, round {number}: {record.get('error', 'done')[:200]} ({record['took']} s)",
              file=sys.stderr, flush=True)

    def write(self):
        new = f"{self.options.out}.new"
        with open(new, "w", encoding="utf-8") as file:
            json.dump(self.result, file, indent=1)
        os.replace(new, self.options.out)

    def wanted(self, name):
        words = [word for word in self.options.only.split(",") if word]
        return not words or any(name.startswith(word) for word in words)

    def compare_losses(self):
        """From the same weights and batches: whether the figures are of the same steps."""
        tasks = [task for task in torch_losses.cases(self.zoo, 3 if self.options.quick else torch_losses.STEPS)
                 if self.wanted(task["name"])]
        worker = torch_losses.Worker() if tasks else None
        for task in tasks:
            entry = {key: task[key] for key in ("name", "model", "batch", "size", "optimizer", "precision", "steps")}
            begin = time.monotonic()
            try:
                if self.left() <= 0:
                    raise RuntimeError(f"not run: the {self.options.seconds:.0f} s of --seconds are over")
                entry.update(torch_losses.compare_case(task, worker, self.mnemo, self.options.device))
            except (RuntimeError, ValueError, KeyError, OSError, subprocess.TimeoutExpired) as error:
                entry["error"] = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
            entry["took"] = round(time.monotonic() - begin, 2)
            self.result["losses"].append(entry)
            self.write()
            print(f"{entry['name']}: {entry.get('error', 'done')[:200]} ({entry['took']} s)", file=sys.stderr,
                  flush=True)
        if worker:
            worker.end()
            self.result["losses"] += [{"name": f"losses-{model}", "skipped": why}
                                      for model, why in torch_losses.LEFT_OUT.items()]

    def compare(self):
        for task in points():
            if not self.wanted(task["name"]):
                continue
            small = quick(task) if self.options.quick else task
            entry = {"name": task["name"], "why": task["why"], "task": small, "runs": [], "summary": {}}
            if small is None:
                entry["skipped"] = "too large for --quick"
            self.result["points"].append(entry)
        first = [entry for entry in self.result["points"] if entry["name"] in FIRST]
        for variant in NETS:
            for entry in first:
                if entry["task"]:
                    self.run(entry, variant, 0)
        self.compare_losses()
        if not self.result["points"] and not self.result["losses"]:
            raise SystemExit(f"--only {self.options.only}: no point begins so")
        for number in range(self.options.rounds):
            self.run_all([entry for entry in self.result["points"] if number or entry not in first], number)
        self.result["complete"] = True
        self.write()

    def run_all(self, entries, number):
        for entry in entries:
            for variant in entry["task"]["variants"] if entry["task"] else ():
                self.run(entry, variant, number)


def summary(runs):
    """For each variant and batch: its memory, and the median and the least time of all rounds."""
    table = {}
    for run in runs:
        for i, batch in enumerate(run.get("batches", ())):
            row = table.setdefault(run["variant"], [])
            if len(row) <= i:
                row.append({"batch": batch["batch"], "seconds": []})
            row[i]["seconds"] += batch["seconds"]
            for figure in ("allocated", "reserved", "peak_allocated", "peak_reserved"):
                values = row[i].setdefault(figure, [])
                if figure in batch and batch[figure] not in values:
                    values.append(batch[figure])  # more than one: it is not the same in every round
    for rows in table.values():
        for row in rows:
            seconds = row.pop("seconds")
            row["steps"] = len(seconds)
            row["median_seconds"] = statistics.median(seconds) if seconds else None
            row["least_seconds"] = min(seconds, default=None)
    return table


def forecast(entries):
    """For every variant that did both sizes: the peaks at 56 x 56 and at 80 x 80, and whether the first is higher."""
    peaks = {}
    for size in (56, 80):
        for entry in entries:
            if entry["name"] == f"forecast-{size}":
                for variant, rows in entry["summary"].items():
                    if rows and rows[0]["peak_allocated"]:
                        peaks.setdefault(variant, {})[size] = max(rows[0]["peak_allocated"])
    return {variant: {**found, "holds": found[56] > found[80]} for variant, found in peaks.items() if len(found) == 2}


def show(result):
    torch_losses.show(result["losses"])
    for entry in result["points"]:
        print(f"\n{entry['name']}  {entry['why']}{entry.get('skipped', '')}")
        for variant, rows in entry["summary"].items():
            for row in rows:
                peak = "/".join(f"{value / 2**20:.1f}" for value in row["peak_allocated"]) or "-"
                reserved = "/".join(f"{value / 2**20:.1f}" for value in row["peak_reserved"]) or "-"
                spent = "-" if row["median_seconds"] is None else f"{1e3 * row['median_seconds']:.3f} ms"
                print(f"  {variant:14} batch {row['batch']:4}  peak {peak:>12} MiB  reserved {reserved:>12} MiB  "
                      f"{spent}")
        for run in entry["runs"]:
            if "error" in run:
                print(f"  {run['variant']:14} {(run['error'].splitlines() or [''])[0][:120]}")
    for variant, found in result.get("forecast", {}).items():
        print(f"\n{variant}: peak {found[56]} at 56 x 56, {found[80]} at 80 x 80: "
              f"the forecast {'holds' if found['holds'] else 'FAILS'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--mnemo", required=True, help="the command")
    parser.add_argument("--out", required=True, help="the JSON file")
    parser.add_argument("--seconds", type=float, default=3000, help="no run begins after this time")
    parser.add_argument("--seconds-per-run", type=float, default=240)
    parser.add_argument("--only", default="", help="beginnings of names, with commas")
    parser.add_argument("--device", default="cuda", help="of both; cpu to try the program out")
    parser.add_argument("--steps", type=int, help="timed steps of every run (20; 300 of the smallest models)")
    parser.add_argument("--warmup", type=int, help="steps before them (5; 100)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small sizes and 3 steps: to try the program out")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.warmup, options.rounds = 3, 1, min(options.rounds, 1)
    comparison = Comparison(options)
    comparison.compare()
    show(comparison.result)


if __name__ == "__main__":
    main()
