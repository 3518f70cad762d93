"""The measurement that `unet.py` and `segmentation_models.py` share: one optimiser step on random data, or one pass of evaluation.

A step is forward, loss, backward, AdamW (learning rate 1e-3), loss read back: after each step on the CPU, after each block of
steps on a GPU, as `htl bench train-step` does. On the CPU each mode runs in a process of its own, since threads and how they
wait are settled when PyTorch starts (OMP_NUM_THREADS, OMP_WAIT_POLICY) and memory is that of the whole process; `cargo xtask
bench` starts them and takes the fastest mode as the peer.
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

# On a GPU: steps that do not count, as libraries try out algorithms and compilers compile; and steps between two looks at the
# clock. The same numbers as in `htl bench train-step`.
WARM_UP, BLOCK = 15, 10


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
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["f32", "tf32", "bf16"], default="f32")
    parser.add_argument("--compile", choices=["default", "reduce-overhead"], help="torch.compile in this mode")
    parser.add_argument("--evaluate", action="store_true", help="forward passes in evaluation mode in the place of steps")
    for name, default in {"batch": 8, "size": 128, "steps": 10, **sizes}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    if arguments.device == "cpu" and arguments.dtype == "tf32":
        parser.error("--dtype tf32 needs --device cuda")
    for layout in arguments.layout or ["default"]:
        row = measure(arguments, layout, build, loss_of)
        own = {name: getattr(arguments, name) for name in ("batch", "size", *sizes)}
        mode = {name: getattr(arguments, name) for name in ("device", "dtype", "compile")}
        print(json.dumps({"network": network, "layout": layout, **mode, **own, **row}), flush=True)


def measure(arguments, layout, build, loss_of):
    torch.manual_seed(0)
    on_cuda = arguments.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.dtype != "f32"
    torch.backends.cudnn.benchmark = True
    batch, size = arguments.batch, arguments.size
    model = build(arguments).to(arguments.device)
    x = torch.randn(batch, 3, size, size).to(arguments.device)
    y = (torch.rand(batch, 1, size, size) > 0.5).float().to(arguments.device)
    if layout == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    forward = torch.compile(model, mode=arguments.compile) if arguments.compile else model
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, fused=on_cuda)

    @torch.inference_mode()
    def evaluate():
        return forward(x).mean()

    def train():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.dtype == "bf16"):
            output = forward(x)
        loss = loss_of(output.float(), y)
        loss.backward()
        optimiser.step()
        return loss

    step = evaluate if arguments.evaluate else train
    model.train(not arguments.evaluate)
    if not on_cuda:
        times = [timed(step, 1) for _ in range(arguments.steps)]
        memory = {"threads": torch.get_num_threads(), "wait": os.environ.get("OMP_WAIT_POLICY", "default").lower()}
        memory["peak_bytes_over_idle"] = (peak_kib() - AFTER_IMPORT) * 1024
        return {"steps": arguments.steps, **quartiles(times), **memory, "torch": torch.__version__}
    block = min(BLOCK, arguments.steps)
    start = time.perf_counter()
    for _ in range(WARM_UP):
        step().item()
    warm_up = round(time.perf_counter() - start, 3)
    # Algorithms are tried with memory of their own: `htl bench train-step` counts it too.
    whole = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times = [timed(step, block) for _ in range(arguments.steps // block)]
    return {
        "steps": arguments.steps // block * block,
        "block": block,
        **quartiles(times),
        "warm_up_seconds": warm_up,
        "peak_bytes": max(whole, torch.cuda.max_memory_allocated()),
        "peak_bytes_of_steps": torch.cuda.max_memory_allocated(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name(),
    }


def timed(step, block):
    """Seconds per step of a block, the last loss read back."""
    start = time.perf_counter()
    for _ in range(block):
        loss = step()
    loss.item()
    if loss.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / block
