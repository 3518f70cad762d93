#!/usr/bin/env python3
"""Golden values from PyTorch for tests/torch_golden.rs: inputs, outputs and every gradient, f32.

    pip install torch safetensors numpy
    python3 make.py            # writes golden.safetensors beside this file
"""
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(0)
torch.set_num_threads(1)
store = {}


def record(name, inputs, output):
    """Saves inputs, output, a random cotangent and the gradient of every input that needs one."""
    cotangent = torch.randn_like(output)
    leaves = {k: v for k, v in inputs.items() if v.requires_grad}
    gradients = torch.autograd.grad(output, list(leaves.values()), cotangent)
    for k, v in inputs.items():
        store[f"{name}/{k}"] = v.detach()
    store[f"{name}/output"], store[f"{name}/cotangent"] = output.detach(), cotangent
    for k, v in zip(leaves, gradients):
        store[f"{name}/d_{k}"] = v


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


# name: batch, in, out, h, w, k, stride, padding, dilation, groups
CONVS = {
    "same3": (2, 5, 16, 9, 16, 3, 1, 1, 1, 1), "wide3": (3, 9, 32, 8, 8, 3, 1, 1, 1, 1),
    "first": (2, 3, 8, 13, 11, 3, 1, 1, 1, 1), "head": (2, 8, 1, 7, 16, 1, 1, 0, 1, 1),
    "five": (1, 3, 4, 10, 9, 5, 1, 2, 1, 1), "stem7": (1, 3, 6, 15, 14, 7, 2, 3, 1, 1),
    "valid": (2, 4, 5, 8, 7, 3, 1, 0, 1, 1), "dilated": (1, 4, 3, 11, 10, 3, 1, 2, 2, 1),
    "grouped": (2, 6, 9, 7, 8, 3, 2, 1, 1, 3), "depthwise": (2, 6, 6, 9, 9, 3, 1, 1, 1, 6),
}
for name, (n, i, o, h, w, k, s, p, d, g) in CONVS.items():
    x, weight, bias = leaf(n, i, h, w), leaf(o, i // g, k, k), leaf(o)
    record(f"conv/{name}/{s}/{p}/{d}/{g}", dict(x=x, weight=weight, bias=bias), F.conv2d(x, weight, bias, s, p, d, g))

for k, s, p in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 1)]:
    # Few distinct values: ties show which of equal values gets the gradient.
    x = torch.randint(-3, 4, (2, 3, 9, 10)).float().requires_grad_()
    record(f"max_pool/{k}/{s}/{p}", dict(x=x), F.max_pool2d(x, k, s, p))
    record(f"avg_pool/{k}/{s}/{p}", dict(x=x), F.avg_pool2d(x, k, s, p))
x = leaf(2, 5, 6, 7)
record("global_avg_pool", dict(x=x), F.adaptive_avg_pool2d(x, 1).flatten(1))

for h, w in [(12, 14), (9, 4), (13, 17)]:
    x = leaf(2, 3, 6, 7)
    record(f"nearest/{h}/{w}", dict(x=x), F.interpolate(x, size=(h, w), mode="nearest"))
    record(f"bilinear_half/{h}/{w}", dict(x=x), F.interpolate(x, size=(h, w), mode="bilinear", align_corners=False))
    record(f"bilinear_aligned/{h}/{w}", dict(x=x), F.interpolate(x, size=(h, w), mode="bilinear", align_corners=True))
x, skip = leaf(2, 3, 4, 5), leaf(2, 2, 8, 10)
record("upsample_concat", dict(x=x, skip=skip), torch.cat([F.interpolate(x, scale_factor=2), skip], 1))

for mode in ["batch", "running"]:
    for act, f in {"none": lambda v: v, "relu": F.relu, "relu6": F.relu6}.items():
        x, gamma, beta = (3 * torch.randn(3, 4, 5, 6) + 2).requires_grad_(), leaf(4), leaf(4)
        mean, var = torch.randn(4), torch.rand(4) + 0.5
        inputs = dict(x=x, gamma=gamma, beta=beta, mean=mean.clone(), var=var.clone())
        out = f(F.batch_norm(x, mean, var, gamma, beta, mode == "batch", momentum=1.0, eps=1e-5))
        record(f"batch_norm/{mode}/{act}", inputs, out)
        store[f"batch_norm/{mode}/{act}/new_mean"], store[f"batch_norm/{mode}/{act}/new_var"] = mean, var
    x, weight, gamma, beta = leaf(2, 4, 8, 16), leaf(16, 4, 3, 3), leaf(16), leaf(16)
    mean, var = torch.randn(16), torch.rand(16) + 0.5
    inputs = dict(x=x, weight=weight, gamma=gamma, beta=beta, mean=mean.clone(), var=var.clone())
    y = F.conv2d(x, weight, padding=1)
    record(f"block/{mode}", inputs, F.relu(F.batch_norm(y, mean, var, gamma, beta, mode == "batch", momentum=1.0, eps=1e-5)))
    store[f"block/{mode}/new_mean"], store[f"block/{mode}/new_var"] = mean, var

logits, target, weights = (4 * torch.randn(3, 1, 9, 8)).requires_grad_(), torch.rand(3, 1, 9, 8), torch.rand(3, 1, 9, 8)
for name, w in [("plain", torch.ones_like(weights)), ("weighted", weights)]:
    inputs = dict(logits=logits, target=target, weights=w)
    bce = F.binary_cross_entropy_with_logits(logits, target, w, reduction="none").flatten(1).mean(1)
    record(f"bce/{name}", inputs, bce)
    p = torch.sigmoid(logits)
    overlap, total = (w * p * target).flatten(1).sum(1), (w * (p + target)).flatten(1).sum(1)
    record(f"dice/{name}", inputs, 1 - (2 * overlap + 1) / (total + 1))
logits, labels = leaf(5, 7), torch.tensor([0, 6, 3, 3, 1])
record("cross_entropy", dict(logits=logits), F.cross_entropy(logits, labels, reduction="none"))
store["cross_entropy/labels"] = labels.to(torch.int64)

# Optimisers: five steps of the same gradients.
start, gradients = torch.randn(4, 3), [torch.randn(4, 3) for _ in range(5)]
store["optim/start"], store["optim/gradients"] = start, torch.stack(gradients)
for name, make in {"adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
                   "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01)}.items():
    p = start.clone().requires_grad_()
    optimiser = make([p])
    for g in gradients:
        p.grad = g.clone()
        optimiser.step()
    store[f"optim/{name}"] = p.detach()
p, q = torch.zeros(3).requires_grad_(), torch.zeros(2).requires_grad_()
p.grad, q.grad = torch.tensor([3.0, 0.0, 4.0]), torch.tensor([12.0, 0.0])
store["clip/norm"] = torch.nn.utils.clip_grad_norm_([p, q], 2.0).reshape(1)
store["clip/p"], store["clip/q"] = p.grad, q.grad

# Later families: appended, so that the values above stay as they were.
# name: batch, in, out, h, w, k, stride, padding, output padding, dilation, groups
TRANSPOSED = {
    "double": (2, 6, 4, 5, 6, 2, 2, 0, 0, 1, 1), "double3": (2, 4, 3, 5, 4, 3, 2, 1, 1, 1, 1),
    "same3": (2, 16, 5, 6, 8, 3, 1, 1, 0, 1, 1), "valid": (1, 3, 4, 4, 5, 3, 1, 0, 0, 1, 1),
    "grouped": (2, 6, 4, 4, 5, 3, 3, 1, 2, 1, 2), "dilated": (1, 4, 3, 5, 4, 3, 2, 2, 1, 2, 1),
    "beyond": (1, 2, 3, 4, 5, 3, 1, 1, 2, 3, 1), "point": (2, 3, 4, 4, 3, 1, 1, 0, 1, 2, 1),
}
for name, (n, i, o, h, w, k, s, p, op, d, g) in TRANSPOSED.items():
    x, weight, bias = leaf(n, i, h, w), leaf(i, o // g, k, k), leaf(o)
    out = F.conv_transpose2d(x, weight, bias, s, p, op, g, d)
    record(f"conv_transpose/{name}/{s}/{p}/{op}/{d}/{g}", dict(x=x, weight=weight, bias=bias), out)

for h, w in [(1, 1), (3, 4), (5, 7), (7, 3), (12, 11)]:
    x = leaf(1, 2, 9, 7)
    record(f"adaptive_avg/{h}/{w}", dict(x=x), F.adaptive_avg_pool2d(x, (h, w)))
    x = torch.randint(-3, 4, (1, 2, 9, 7)).float().requires_grad_()
    record(f"adaptive_max/{h}/{w}", dict(x=x), F.adaptive_max_pool2d(x, (h, w)))

for axes, shape in [(1, (3, 5, 33)), (2, (6, 5, 7)), (3, (4, 2, 3, 5)), (1, (9,))]:
    x, gamma, beta = (3 * torch.randn(shape) + 2).requires_grad_(), leaf(*shape[-axes:]), leaf(*shape[-axes:])
    name = "x".join(map(str, shape))
    record(f"layer_norm/affine/{name}/{axes}", dict(x=x, gamma=gamma, beta=beta), F.layer_norm(x, shape[-axes:], gamma, beta, 1e-5))
    record(f"layer_norm/plain/{name}/{axes}", dict(x=x), F.layer_norm(x, shape[-axes:], None, None, 1e-5))

for groups, shape in [(1, (2, 4, 5, 6)), (2, (3, 6, 4, 5)), (6, (2, 6, 5, 7)), (3, (2, 6, 9)), (2, (3, 8))]:
    for act, f in [("none", lambda v: v), ("relu", F.relu), ("relu6", F.relu6)][: 3 if groups == 3 else 1]:
        x, gamma, beta = (3 * torch.randn(shape) + 2).requires_grad_(), leaf(shape[1]), leaf(shape[1])
        name = "x".join(map(str, shape))
        record(f"group_norm/{name}/{groups}/{act}", dict(x=x, gamma=gamma, beta=beta), f(F.group_norm(x, groups, gamma, beta, 1e-5)))


def focal(z, y, alpha, gamma):
    """Lin et al. 2017, equation 5: the function torchvision calls sigmoid_focal_loss (no alpha below 0)."""
    missed = torch.sigmoid(z) * (1 - y) + torch.sigmoid(-z) * y
    balance = 1 if alpha < 0 else 1 - alpha + (2 * alpha - 1) * y
    return balance * missed**gamma * F.binary_cross_entropy_with_logits(z, y, reduction="none")


logits, target, weights = (4 * torch.randn(2, 1, 5, 9)).requires_grad_(), torch.rand(2, 1, 5, 9), torch.rand(2, 1, 5, 9)
for kind, y, w in [("soft", target, weights), ("hard", (target > 0.5).float(), torch.ones_like(weights))]:
    name = "weighted" if kind == "soft" else "plain"
    inputs = dict(logits=logits, target=y, weights=w)
    for a, b, gamma, smooth in [(0.3, 0.7, 1.0, 1.0), (0.7, 0.3, 0.75, 1.0), (0.5, 1.0, 2.0, 0.25)]:
        p = torch.sigmoid(logits)
        both, positive, negative = ((w * v).flatten(1).sum(1) for v in (p * y, p * (1 - y), (1 - p) * y))
        index = (both + smooth) / (both + a * positive + b * negative + smooth)
        record(f"tversky/{kind}/{name}/{a}/{b}/{gamma}/{smooth}", inputs, (1 - index) ** gamma)
    for a, gamma in [(0.25, 2.0), (-1.0, 2.0), (0.6, 0.5), (-1.0, 0.0)]:
        loss = w * focal(logits, y, a, gamma)
        record(f"focal/{kind}/{name}/{a}/{gamma}", inputs, loss.flatten(1).mean(1))

save_file({k: v.contiguous().clone() for k, v in store.items()}, pathlib.Path(__file__).with_name("golden.safetensors"),
          metadata={"torch": torch.__version__})
