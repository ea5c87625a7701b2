"""What the makers of fixtures need: float64, inputs by an exact rule, and a header with PyTorch's numbers."""
import math
import sys
from pathlib import Path

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def numbers(seed, *shape):
    """The rule by which both sides make inputs."""
    count = math.prod(shape)
    return torch.tensor([(i * 37 + seed * 11) % 101 / 50.0 - 1.0 for i in range(count)]).reshape(shape)


def differentiate(results, name, op, *shapes):
    """Stores the value of `op` on leaves of these shapes, and their gradients from an upstream gradient numbers(99)."""
    leaves = [numbers(seed, *shape).requires_grad_() for seed, shape in enumerate(shapes)]
    y = op(*leaves)
    y.backward(numbers(99, *y.shape))
    results[name] = y
    for i, leaf in enumerate(leaves):
        results[f"{name}.grad{i}"] = leaf.grad


def keep_outputs(results, name, outputs, leaves):
    """Stores `outputs`, and the gradients of `leaves` from an upstream gradient numbers(99) of the first one."""
    outputs[0].backward(numbers(99, *outputs[0].shape))
    for i, output in enumerate(outputs):
        results[f"{name}.{i}"] = output
    for i, leaf in enumerate(leaves):
        results[f"{name}.grad{i}"] = leaf.grad


def write(what, variable, lists):
    """Prints C++ that defines `variable`, a map from names to lists of numbers, each to its last digit."""
    numbers = [number for values in lists.values() for number in values]
    headers = ["limits"] * any(math.isnan(number) for number in numbers) + ["map", "string", "vector"]
    print(f"// {what}; written by {Path(sys.argv[0]).name}, which says how. Not to be edited.")
    print("// clang-format off")
    print("#pragma once\n\n" + "".join(f"#include <{header}>\n" for header in headers))
    print(f"inline const std::map<std::string, std::vector<double>> {variable} = {{")
    for name, values in lists.items():
        texts = ["std::numeric_limits<double>::quiet_NaN()" if math.isnan(v) else repr(float(v)) for v in values]
        lines, line = [], f'    {{"{name}", {{'
        for i, text in enumerate(texts):
            text += ", " if i + 1 < len(texts) else "}},"
            if len(line) + len(text) > 118:
                lines.append(line.rstrip())
                line = "      "
            line += text
        print("\n".join(lines + [line]))
    print("};")


def write_results(variable, results):
    """The same of tensors, flattened."""
    write("Values computed by PyTorch in float64", variable,
          {name: values.detach().flatten().tolist() for name, values in results.items()})
