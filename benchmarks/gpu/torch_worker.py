"""Training steps of one model in PyTorch, in a process of its own: reads what to do as JSON from standard input and
writes what happened as JSON to standard output. torch_compare.py starts it.

Variants: eager (everything as PyTorch has it), channels-last (and cudnn.benchmark), compile (torch.compile of the
model), graph (a whole step as a CUDA graph, on top of channels-last)."""
import contextlib
import json
import sys
import time

import torch
from torch.nn import functional as F

import torch_models

DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


class Steps:
    """The steps of `mnemo step`: new random data, forward, backward, update, the loss read back."""

    def __init__(self, task, device):
        self.device, self.variant = device, task["variant"]
        self.dtype = DTYPES[task["dtype"]]
        self.amp = DTYPES[task["amp"]] if task["amp"] else None
        self.train = not task["no_grad"]
        torch.manual_seed(task["seed"])
        module, self.classes, self.dense = torch_models.make(task["model"])
        self.module = module.to(device, self.dtype)
        self.format = FORMATS.get(len(task["shape"]) + 1) if self.variant in ("channels-last", "graph") else None
        if self.format:
            self.module = self.module.to(memory_format=self.format)
        graph = self.variant == "graph"
        if task["optimizer"] == "adam":
            self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.001, capturable=graph)
        else:
            self.optimizer = torch.optim.SGD(self.module.parameters(), lr=0.01)
        self.forward = torch.compile(self.module) if self.variant == "compile" else self.module
        self.shape, self.graph = task["shape"], None

    def draw(self, batch):
        x = torch.randn(batch, *self.shape, device=self.device, dtype=self.dtype)
        if self.format:
            x = x.contiguous(memory_format=self.format)
        sizes = self.shape[1:] if self.dense else []
        return x, torch.randint(0, self.classes, (batch, *sizes), device=self.device) if self.classes else None

    def compute(self, x, targets):
        amp = torch.autocast(self.device.type, self.amp) if self.amp else contextlib.nullcontext()
        with torch.set_grad_enabled(self.train):
            with amp:
                y = self.forward(x)
                if not self.train:
                    return None
                loss = F.cross_entropy(y, targets) if self.classes else y.pow(2).mean()
            # As everywhere: gradients are dropped before, so that backward allocates them.
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            return loss.detach()

    def record(self, batch):
        """One whole step as a CUDA graph, drawing its data included."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.compute(*self.draw(batch))
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.compute(*self.draw(batch))

    def step(self, batch):
        if self.variant == "graph":
            if self.graph is None:
                self.record(batch)
            self.graph.replay()
            return self.loss
        return self.compute(*self.draw(batch))


def memory_of(device):
    if device.type != "cuda":
        return {}
    return {"allocated": torch.cuda.memory_allocated(device), "reserved": torch.cuda.memory_reserved(device)}


def peak_of(device):
    if device.type != "cuda":
        return {}
    return {"peak_allocated": torch.cuda.max_memory_allocated(device),
            "peak_reserved": torch.cuda.max_memory_reserved(device)}


def run_batch(steps, batch, task, device):
    seconds, losses = [], []
    for i in range(task["warmup"] + task["steps"]):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        begin = time.perf_counter()
        loss = steps.step(batch)
        if loss is not None:
            losses.append(loss.item())
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if i >= task["warmup"]:
            seconds.append(time.perf_counter() - begin)
    del loss
    return {"batch": batch, **memory_of(device), **peak_of(device), "seconds": seconds, "losses": losses}


def run(task):
    device = torch.device(task["device"])
    if task["variant"] == "graph" and device.type != "cuda":
        raise RuntimeError("CUDA graphs need a GPU")
    torch.backends.cudnn.benchmark = task.get("benchmark", task["variant"] in ("channels-last", "graph"))
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = task["tf32"]
    torch.backends.cuda.enable_cudnn_sdp(task.get("cudnn_attention", True))
    steps = Steps(task, device)
    batches = []
    for i, batch in enumerate(task["batches"]):
        if i > 0 and task["empty_cache"] and device.type == "cuda":
            torch.cuda.empty_cache()
        steps.graph = None
        batches.append(run_batch(steps, batch, task, device))
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
            "title": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "parameters": torch_models.parameters(steps.module), "batches": batches}


if __name__ == "__main__":
    try:
        print(json.dumps(run(json.load(sys.stdin))))
    except Exception as error:  # whatever it is, the one who started this writes it down
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]}))
