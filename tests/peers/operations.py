#!/usr/bin/env python3
"""PyTorch's time for the operations of `htl-bench operations`, under the same names.

    pip install -r requirements.txt
    OMP_NUM_THREADS=2 python3 operations.py --layout channels_last
    python3 operations.py --list        # the names as JSON; needs no torch

Prints one JSON line per layout. `forward_ms` is the operation with its graph recorded, `backward_ms` all its gradients
from a tensor of ones, made anew each time as ours is. An optimiser's step counts as forward and has no backward.
"""
import argparse
import json
import os
import statistics
import time

BATCH = 8

# Name -> kind and sizes; the same as in crates/bench/src/cases/mod.rs.
OPERATIONS = {
    "conv3x3-16-16-at128": ("conv", dict(i=16, o=16, size=128, kernel=3)),
    "conv3x3-32-32-at64": ("conv", dict(i=32, o=32, size=64, kernel=3)),
    "conv3x3-64-64-at32": ("conv", dict(i=64, o=64, size=32, kernel=3)),
    "conv3x3-128-128-at16": ("conv", dict(i=128, o=128, size=16, kernel=3)),
    "conv3x3-48-16-at128": ("conv", dict(i=48, o=16, size=128, kernel=3)),
    "conv1x1-96-24-at32": ("conv", dict(i=96, o=24, size=32, kernel=1)),
    "conv7x7s2-3-64-at128": ("conv", dict(i=3, o=64, size=128, kernel=7, stride=2)),
    "depthwise3x3-96-at64": ("conv", dict(i=96, o=96, size=64, kernel=3, groups=96)),
    "depthwise3x3s2-144-at32": ("conv", dict(i=144, o=144, size=32, kernel=3, stride=2, groups=144)),
    "depthwise5x5-96-at32": ("conv", dict(i=96, o=96, size=32, kernel=5, groups=96)),
    "batch-norm-relu-16-at128": ("batch_norm_relu", dict(channels=16, size=128)),
    "max-pool2x2-16-at128": ("max_pool", dict(channels=16, size=128, kernel=2, padding=0)),
    "max-pool3x3-64-at64": ("max_pool", dict(channels=64, size=64, kernel=3, padding=1)),
    "upsample-nearest-32-at64": ("upsample", dict(channels=32, size=64, mode="nearest")),
    "upsample-bilinear-32-at64": ("upsample", dict(channels=32, size=64, mode="bilinear")),
    "bce-1-at128": ("bce", dict(size=128)),
    "soft-dice-1-at128": ("soft_dice", dict(size=128)),
    "adamw-1m": ("adamw", dict(parameters=1_000_000)),
}


def prepare(kind, layout, **sizes):
    """The forward pass as a function, and the tensors whose gradients are asked for."""
    import torch
    import torch.nn.functional as F

    def tensor(*shape, gradient=True):
        value = torch.randn(*shape)
        if layout == "channels_last" and len(shape) == 4:
            value = value.to(memory_format=torch.channels_last)
        return value.requires_grad_(gradient)

    def conv(i, o, size, kernel, stride=1, groups=1):
        x, weight = tensor(BATCH, i, size, size), tensor(o, i // groups, kernel, kernel)
        return lambda: F.conv2d(x, weight, None, stride, kernel // 2, 1, groups), [x, weight]

    def batch_norm_relu(channels, size):
        x, gamma, beta = tensor(BATCH, channels, size, size), tensor(channels), tensor(channels)
        return lambda: F.relu(F.batch_norm(x, None, None, gamma, beta, True), True), [x, gamma, beta]

    def max_pool(channels, size, kernel, padding):
        x = tensor(BATCH, channels, size, size)
        return lambda: F.max_pool2d(x, kernel, 2, padding), [x]

    def upsample(channels, size, mode):
        x = tensor(BATCH, channels, size, size)
        return lambda: F.interpolate(x, scale_factor=2, mode=mode), [x]

    def logits_and_target(size):
        return tensor(BATCH, 1, size, size), (tensor(BATCH, 1, size, size, gradient=False) > 0).float()

    def bce(size):
        x, y = logits_and_target(size)
        return lambda: F.binary_cross_entropy_with_logits(x, y), [x]

    def soft_dice(size):
        x, y = logits_and_target(size)

        def forward():
            p = torch.sigmoid(x)
            over = (1, 2, 3)
            return (1 - (2 * (p * y).sum(over) + 1) / (p.sum(over) + y.sum(over) + 1)).mean()
        return forward, [x]

    def adamw(parameters):
        value = tensor(parameters)
        value.grad = torch.randn(parameters)
        return torch.optim.AdamW([value], 1e-3).step, []

    return locals()[kind](**sizes)


def measure(forward, inputs, seconds):
    """Medians in ms of forward and backward over at least five repetitions after two that do not count."""
    import torch
    times, backwards = [], []
    begin = time.perf_counter()
    while len(times) < 7 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        output = forward()
        times.append(time.perf_counter() - start)
        if inputs:
            for tensor in inputs:
                tensor.grad = None
            start = time.perf_counter()
            output.backward(torch.ones_like(output))
            backwards.append(time.perf_counter() - start)
        # As ours, freed before the next one is made.
        del output
    def median(values):
        return round(statistics.median(values[2:]) * 1e3, 5) if values else None
    return {"forward_ms": median(times), "backward_ms": median(backwards)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layout", choices=["default", "channels_last"], action="append")
    parser.add_argument("--only", default="", help="operations whose names contain this")
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each operation")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    arguments = parser.parse_args()
    chosen = {name: operation for name, operation in OPERATIONS.items() if arguments.only in name}
    if arguments.list:
        print(json.dumps(list(chosen)))
        return
    import torch
    for layout in arguments.layout or ["default"]:
        torch.manual_seed(0)
        rows = []
        for name, (kind, sizes) in chosen.items():
            rows.append({"name": name, **measure(*prepare(kind, layout, **sizes), arguments.seconds)})
        wait = os.environ.get("OMP_WAIT_POLICY", "default").lower()
        print(json.dumps({"layout": layout, "threads": torch.get_num_threads(), "wait": wait,
                          "torch": torch.__version__, "operations": rows}), flush=True)


if __name__ == "__main__":
    main()
