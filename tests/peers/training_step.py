"""The measurement that `unet.py` and `mobilenet_v2.py` share: one optimiser step on random data.

A step is forward, loss, backward, AdamW (learning rate 1e-3), loss read back. Each mode runs in a process of its own,
since threads and how they wait are settled when PyTorch starts (OMP_NUM_THREADS, OMP_WAIT_POLICY) and memory is that of
the whole process; `cargo xtask bench` starts them and takes the fastest mode as the peer.
"""
import argparse
import json
import os
import resource
import time

import torch


def peak_kib():
    """Largest resident size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


AFTER_IMPORT = peak_kib()


def quartiles(times):
    """Smallest, quartiles and median in ms, as numbers of the list."""
    times = sorted(times)
    low, q1, middle, q3 = (round(times[len(times) * quarter // 4] * 1e3, 4) for quarter in range(4))
    return {"ms_per_step": middle, "ms_min": low, "ms_q1": q1, "ms_q3": q3}


def main(network, build, loss_of, **sizes):
    """Measures what the command line asks for and prints one JSON line per layout.

    `build(arguments)` gives the module, `loss_of(output, target)` the loss of what it makes; `sizes` are further integer
    options of `build` and their defaults.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--layout", choices=["default", "channels_last"], action="append")
    for name, default in {"batch": 8, "size": 128, "steps": 10, **sizes}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    for layout in arguments.layout or ["default"]:
        row = measure(arguments, layout, build, loss_of)
        own = {name: getattr(arguments, name) for name in ("batch", "size", *sizes, "steps")}
        print(json.dumps({"network": network, "layout": layout, **own, **row}), flush=True)


def measure(arguments, layout, build, loss_of):
    torch.manual_seed(0)
    batch, size = arguments.batch, arguments.size
    model = build(arguments)
    x = torch.randn(batch, 3, size, size)
    y = (torch.rand(batch, 1, size, size) > 0.5).float()
    if layout == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    times = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(model(x), y)
        loss.backward()
        optimiser.step()
        loss.item()
        times.append(time.perf_counter() - start)
    return {
        "threads": torch.get_num_threads(),
        "wait": os.environ.get("OMP_WAIT_POLICY", "default").lower(),
        **quartiles(times),
        "peak_bytes_over_idle": (peak_kib() - AFTER_IMPORT) * 1024,
        "torch": torch.__version__,
    }
