#!/usr/bin/env python3
"""Golden masks of torch.nn.utils.prune.

    python3 make.py        # needs torch and safetensors; writes masks.safetensors beside itself

`weight.*` are the weights of a small network (no ties); `global.*`, `layer.*` the masks of `global_unstructured` with
`L1Unstructured` and of `l1_unstructured` on each at AMOUNT; `random_zeros` how many zeros `random_unstructured` leaves in
each tensor, in the order of `weight.*` sorted by name.
"""
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

HERE = pathlib.Path(__file__).parent
AMOUNT = 0.7


def network():
    torch.manual_seed(20261123)
    return nn.ModuleDict({"conv1": nn.Conv2d(3, 8, 3), "conv2": nn.Conv2d(8, 5, 3), "head": nn.Linear(37, 11)})


def masks(model):
    return {name + ".weight": module.weight_mask.to(torch.uint8) for name, module in model.items()}


def pruned(act):
    model = network()
    act(model)
    return masks(model)


def globally(model):
    prune.global_unstructured([(m, "weight") for m in model.values()], prune.L1Unstructured, amount=AMOUNT)


def each(method):
    return lambda model: [method(m, "weight", amount=AMOUNT) for m in model.values()]


out = {"weight." + k + ".weight": m.weight.detach().clone() for k, m in network().items()}
out |= {"global." + k: v for k, v in pruned(globally).items()}
out |= {"layer." + k: v for k, v in pruned(each(prune.l1_unstructured)).items()}
random = pruned(each(prune.random_unstructured))
out["random_zeros"] = torch.tensor([int((random[k] == 0).sum()) for k in sorted(random)])
save_file(out, HERE / "masks.safetensors", {"torch": torch.__version__})
