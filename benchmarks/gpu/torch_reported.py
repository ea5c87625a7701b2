#!/usr/bin/env python3
"""What users reported of convolutions on an A100 80GB (docs/labs/reported.md), in the PyTorch at hand.

    ../torch_stand_in/stand_in.py --card ../../cuda/cards/a100-80gb.json torch_reported.py [--out reported.json]

or without the stand-in on such a card. Forward passes without gradients; bytes.
"""
import argparse
import json

import torch

# issue, layer, dtype, input
CASES = (("95024", (64, 32, 3, 1), torch.float16, (1, 64, 361, 370, 251)),
         ("95024", (64, 32, 3, 1), torch.float16, (1, 64, 362, 370, 251)),
         ("128947", (256, 64, 3, 0), torch.float32, (1, 256, 4, 1090, 1922)),
         ("128947", (256, 64, 3, 0), torch.float32, (1, 256, 5, 1090, 1922)))


def measure(issue, layer, dtype, shape):
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    channels, out, kernel, padding = layer
    conv = torch.nn.Conv3d(channels, out, kernel, padding=padding).cuda().to(dtype)
    x = torch.empty(shape, device="cuda", dtype=dtype)
    case = {"issue": issue, "shape": shape, "before": torch.cuda.memory_allocated()}
    try:
        y = conv(x)
    except torch.OutOfMemoryError as error:
        return {**case, "error": str(error).split(" GPU ", maxsplit=1)[0]}
    return {**case, "after": torch.cuda.memory_allocated(), "peak_allocated": torch.cuda.max_memory_allocated(),
            "peak_reserved": torch.cuda.max_memory_reserved(), "output": list(y.shape)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--out", default="", help="a JSON file")
    options = parser.parse_args()
    with torch.no_grad():
        cases = [measure(*case) for case in CASES]
    for case in cases:
        print(json.dumps(case))
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
                       "card": torch.cuda.get_device_name(), "cases": cases}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
