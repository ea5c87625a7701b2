"""The loss curves of PyTorch and of mnemo from the same weights and the same batches; torch_compare.py shows them.

PyTorch makes the initial weights and the batches and writes both as safetensors; each of the two then trains by itself
and says its losses. A second run of PyTorch's in another type says how far rounding alone takes a curve: `of_torch`
beside `difference`. At the end the parameters and buffers of both are compared too, since a loss in training says
nothing of running statistics: float64 leaves no room for anything but another order of the same sums.

All cases are trained in one process, since loading PyTorch takes longer than most of them."""
import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile

# The largest relative difference that a curve may have anywhere. bfloat16 (autocast, parameters in float32) has 8 bits
# of significand: a value is off by up to 2^-9 = 0.2 % each time it is rounded; a loss is a mean over many, and 20
# updates follow each other: 1 %.
TOLERANCES = {"float64": 1e-9, "float32": 1e-3, "bfloat16": 1e-2}
# Of every parameter and buffer after 20 steps, relative to its largest value. Only here can it be asked for: the
# gradient of a maximum or a relu jumps where rounding decides, and Adam makes full steps of gradients near 0.
STATE_TOLERANCE = {"float64": 1e-6}
OTHER = {"float64": "float32", "float32": "float64", "bfloat16": "float32"}
# What the last normalization of each residual block begins with. From 1, as usual, ResNets this small are chaotic:
# after 10 steps two of PyTorch's own runs, in float32 and in float64, were 2 % apart.
BRANCH = 0.1
STEPS = 20
LEFT_OUT = {"vgg16": "its dropout draws other random numbers in each of the two, and has no switch in mnemo's model"}

# model, batch, edge length, and how it is trained: optimizer and precision. Left out in float32, as PyTorch's own run in
# float64 was too far from it: resnet18 with Adam (0.3 %) and resnet50 (1.3 %).
CASES = (
    ("simple-conv", 16, 28, ("sgd float64", "sgd float32", "adam float32", "sgd bfloat16")),
    ("mlp", 64, 28, ("adam float64", "sgd float32", "adam float32", "sgd bfloat16")),
    ("small-network", 4, 32, ("sgd float32", "adam float32")),
    ("larger-conv-network", 4, 32, ("sgd float32",)),
    ("conv1d", 2, 512, ("sgd float32", "adam float32")),
    ("conv1d-downsample", 2, 1024, ("sgd float32",)),
    ("conv1d-separable", 2, 512, ("sgd float32", "adam float32")),
    ("conv3d-pad2", 2, 16, ("adam float64", "sgd float32", "adam float32")),
    ("conv3d-k3", 2, 16, ("sgd float32",)),
    ("conv3d-k7", 1, 16, ("sgd float32",)),
    ("unet3d", 4, 16, ("adam float64", "sgd float32", "adam float32", "sgd bfloat16")),
    ("resnet18", 8, 32, ("sgd float64", "adam float64", "sgd float32", "sgd bfloat16")),
    ("resnet50", 8, 32, ("sgd float64",)),
    ("lstm", 4, 16, ("adam float64", "sgd float32", "adam float32", "sgd bfloat16")),
    ("transformer", 4, 32, ("adam float64", "sgd float32", "adam float32", "sgd bfloat16")),
)


def cases(zoo, steps):
    """Tasks for torch_worker.Steps, one for each curve."""
    found = []
    for model, batch, size, trainings in CASES:
        own = zoo[model]["input"]
        for training in trainings:
            optimizer, precision = training.split()
            found.append({"name": f"losses-{model}-{optimizer}-{precision}", "model": model, "batch": batch,
                          "size": size, "shape": [own[1], *(size for _ in own[2:])], "optimizer": optimizer,
                          "precision": precision, "steps": steps, "seed": 1, "variant": "eager", "no_grad": False})
    return found


def types(precision):
    """The dtype of parameters and data, and that of autocast."""
    return {"dtype": "float32", "amp": precision} if precision == "bfloat16" else {"dtype": precision, "amp": ""}


def save(path, tensors):
    """A safetensors file of these tensors by name."""
    names = {"torch.float32": "F32", "torch.int64": "I64"}
    header, parts, end = {}, [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": names[str(tensor.dtype)], "shape": list(tensor.shape),
                        "data_offsets": [end, end + size]}
        parts.append(ctypes.string_at(tensor.data_ptr(), size))
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(parts)


def load(path):
    """The tensors of a file that mnemo has written."""
    import torch

    dtypes = {"F32": torch.float32, "F64": torch.float64}
    bytes_ = path.read_bytes()
    begin = 8 + int.from_bytes(bytes_[:8], "little")
    found = {}
    for name, entry in json.loads(bytes_[8:begin]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            part = bytearray(bytes_[begin + first:begin + last])
            found[name] = torch.frombuffer(part, dtype=dtypes[entry["dtype"]]).reshape(entry["shape"])
    return found


def apart(module, saved):
    """Of the parameters and of the buffers: the one that differs most, relative to its largest value."""
    worst = {}
    for kind, named in (("parameters", module.named_parameters()), ("buffers", module.named_buffers())):
        for name, tensor in named:
            if name.endswith("num_batches_tracked"):
                continue
            tensor = tensor.detach().cpu()
            by = ((saved[name] - tensor).abs().max() / tensor.abs().max().clamp(min=1e-30)).item()
            if by >= worst.get(kind, {"difference": 0})["difference"]:
                worst[kind] = {"difference": by, "name": name}
    return worst


def train(task, device, weights, batches, precision):
    """The losses of one run from these weights, and the module at its end."""
    import torch_worker

    steps = torch_worker.Steps({**task, **types(precision)}, device)
    steps.module.load_state_dict(weights)
    losses = []
    for x, targets in batches:
        targets = targets if targets is None else targets.to(device)
        losses.append(steps.compute(x.to(device, steps.dtype), targets).item())
    return losses, steps.module


def run_case(task, device, folder):
    import torch
    import torch_models
    import torch_worker

    # The same data for every device.
    first = torch_worker.Steps({**task, **types("float32")}, torch.device("cpu"))
    for block in first.module.modules():
        if isinstance(block, torch_models.Block):
            torch.nn.init.constant_(getattr(block, f"bn{block.count}").weight, BRANCH)
    weights = {name: tensor.clone() for name, tensor in first.module.state_dict().items()}
    batches = [first.draw(task["batch"]) for _ in range(task["steps"])]
    save(folder / "weights", weights)
    data = {"input": torch.cat([x for x, _ in batches])}
    if first.classes:
        data["target"] = torch.cat([targets for _, targets in batches])
    save(folder / "data", data)
    losses, module = train(task, device, weights, batches, task["precision"])
    other, _ = train(task, device, weights, batches, OTHER[task["precision"]])
    return {"torch": losses, "other": other}, module


def work():
    """Answers each line on standard input with a line: a task, and after it where mnemo has saved what it trained."""
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    for line in sys.stdin:
        task = json.loads(line)
        try:
            if "saved" in task:
                answer = apart(module, load(pathlib.Path(task["saved"])))
            else:
                answer, module = run_case(task, torch.device(task["device"]), pathlib.Path(task["folder"]))
        except Exception as error:  # whatever it is, the one who started this writes it down
            answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(answer), flush=True)


def difference(ours, theirs):
    """The largest relative difference of two curves."""
    if len(ours) != len(theirs) or None in ours:
        raise RuntimeError(f"{len(ours)} losses beside {len(theirs)}, or one that is no number: {ours}")
    return max(abs(a - b) / max(abs(a), abs(b), 1e-30) for a, b in zip(ours, theirs))


class Worker:
    """The process that trains in PyTorch."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-B", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, task):
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"PyTorch's process ended with {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def compare_case(task, worker, mnemo, device):
    """Both curves, and how far they are apart; `mnemo` runs the command."""
    with tempfile.TemporaryDirectory() as folder:
        found = worker.ask({**task, "device": device, "folder": folder})
        words = ["step", task["model"], "--device", device, "--json", "--steps", str(task["steps"]), "--optimizer",
                 task["optimizer"], "--batch", str(task["batch"]), "--weights", f"{folder}/weights", "--data",
                 f"{folder}/data", "--save-weights", f"{folder}/saved"]
        words += ["--amp", "bf16"] if task["precision"] == "bfloat16" else ["--dtype", task["precision"]]
        found["mnemo"] = [step["loss"] for step in mnemo(*words)["runs"][0]["steps"]]
        found["state"] = worker.ask({"saved": f"{folder}/saved"})
    found["difference"] = difference(found["mnemo"], found["torch"])
    found["of_torch"] = difference(found["torch"], found["other"])
    found["tolerance"] = TOLERANCES[task["precision"]]
    found["holds"] = found["difference"] <= found["tolerance"]
    if task["precision"] in STATE_TOLERANCE:
        found["state_tolerance"] = STATE_TOLERANCE[task["precision"]]
        found["holds"] &= all(worst["difference"] <= found["state_tolerance"] for worst in found["state"].values())
    return found


def show(losses):
    if not losses:
        return
    print("\nlosses of the same steps: largest relative difference, PyTorch's own to another type, the state")
    for entry in losses:
        if "difference" not in entry:
            print(f"  {entry['name']:40} {entry.get('skipped') or entry['error'].splitlines()[0][:110]}")
            continue
        print(f"  {entry['name']:40} {entry['torch'][0]:9.5f} to {entry['torch'][-1]:9.5f}   {entry['difference']:.1e} "
              f"of {entry['tolerance']:.0e}{'' if entry['holds'] else '  TOO MUCH'}   PyTorch {entry['of_torch']:.1e}"
              + "".join(f"   {kind} {worst['difference']:.1e}" for kind, worst in entry["state"].items()))


if __name__ == "__main__":
    work()
