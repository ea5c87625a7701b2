#!/usr/bin/env python3
"""Runs a Python program on PyTorch's device "cuda" on a machine without a GPU.

    stand_in.py [--card CARD.json] [--capacity BYTES] [--order ascending|descending] PROGRAM [ARGS...]

PyTorch itself is unchanged: its allocator, its choice of kernels and algorithms, its autograd. What lies below it is
replaced by a library that is compiled from this folder and preloaded: memory is addresses without anything behind
them, kernels and products do nothing, and what the host reads from the device is 0. Convolutions take the plans that
the installed cuDNN ranks first for the card, which it can tell without a GPU; other libraries do not answer. So memory
is what it would be on that card, as far as no value read from the device decides on it, and with these exceptions:
batch normalization by cuDNN has no workspace, cuBLAS none but what PyTorch gives it, the occupancy of kernels is made
up. Times mean nothing. cuDNN may say on stderr which of a driver's functions it misses. Needs PyTorch for CUDA 13 with its nvidia packages, g++, and nothing else.
"""
import argparse
import ctypes
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import sysconfig

HERE = pathlib.Path(__file__).resolve().parent
CARDS = HERE.parent.parent / "cuda" / "cards"
NAME = "libcuda.so.1"  # PyTorch opens this one and the next by name
OTHER_NAME = "libnvidia-ml.so.1"
# What the runtime says of the card.
NUMBERS = {"VERSION": "deviceVer", "PROCESSORS": "multiProcessorCount", "SHARED": "maxSharedMemoryPerBlockOptin",
           "THREADS": "maxThreadsPerSM", "BLOCKS": "maxCtasPerSM", "L2": "l2CacheSize"}


def packages():
    """The folder of NVIDIA's packages, of which PyTorch's wheels bring theirs."""
    return pathlib.Path(sysconfig.get_paths()["purelib"]) / "nvidia"


def build():
    """The folder with the library, compiled anew whenever the sources have changed."""
    sources = sorted(HERE.glob("*.cpp")) + [HERE / "device.h"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = HERE.parent.parent / "build" / "torch-stand-in" / digest
    if not (folder / OTHER_NAME).exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC",
                        *(f"-I{packages() / name / 'include'}" for name in ("cu13", "cudnn")),
                        *map(str, sources[:-1]), "-ldl", "-o", str(folder / NAME)], check=True)
        (folder / OTHER_NAME).symlink_to(NAME)
    return folder


def environment(card=CARDS / "h200.json", capacity=0, order="ascending"):
    """The variables under which a process has the device."""
    folder = build()
    properties = json.loads(pathlib.Path(card).read_text(encoding="utf-8"))
    properties = properties.get("properties", properties)
    description = folder / f"{pathlib.Path(card).stem}.json"
    description.write_text(json.dumps(properties), encoding="utf-8")
    return {**os.environ, "LD_PRELOAD": str(folder / NAME), "STAND_IN_CARD": str(description),
            "STAND_IN_CAPACITY": str(capacity or properties["totalGlobalMem"]), "STAND_IN_ORDER": order,
            "STAND_IN_NAME": properties["deviceName"],
            **{f"STAND_IN_{variable}": str(properties[member]) for variable, member in NUMBERS.items()},
            "LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"}


def library():
    """In a process that has the device: to hold and to release events."""
    return ctypes.CDLL(os.environ["LD_PRELOAD"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--card", default=CARDS / "h200.json", type=pathlib.Path, help="what cuDNN is told of the card")
    parser.add_argument("--capacity", default=0, type=int, help="bytes of the device; the card's")
    parser.add_argument("--order", choices=("ascending", "descending"), default="ascending",
                        help="of the addresses of new segments")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM [ARGS...]")
    options = parser.parse_args()
    if not options.program:
        parser.error("which program?")
    os.execve(sys.executable, [sys.executable, *options.program],
              environment(options.card, options.capacity, options.order))


if __name__ == "__main__":
    main()
