#!/usr/bin/env python3
"""Golden importances of channels that go together, by Torch-Pruning.

    python3 channels.py    # needs torch, torch-pruning 1.6 and safetensors; writes channels.safetensors beside itself

A network with a residual sum, a concatenation and a linear layer. For every group that its dependency graph finds from the
convolutions there is `GROUP.l1` and `GROUP.l2`, the importance of each channel, and `GROUP.places` with a row [tensor, axis,
offset] for each of its weights: tensors are numbered as `weight.NUMBER`, the axis is 0 for outputs and scales, 1 for inputs.
"""
import pathlib

import torch
import torch_pruning as tp
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.a = nn.Conv2d(6, 4, 1, bias=False)
        self.norm_a = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.norm_b = nn.BatchNorm2d(6)
        self.side = nn.Conv2d(3, 5, 1)
        self.join = nn.Conv2d(11, 7, 3, padding=1)
        self.head = nn.Linear(7, 2)

    def forward(self, x):
        y = self.norm(self.stem(x)).relu()
        y = (y + self.norm_b(self.b(self.norm_a(self.a(y)).relu()))).relu()
        y = torch.cat([y, self.side(x)], 1)
        return self.head(self.join(y).relu().mean((2, 3)))


torch.manual_seed(20261128)
model = Net().eval()
for module in model.modules():
    if isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight, 0.5, 1.5)
names = [name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]
modules = dict(model.named_modules())
out = {f"weight.{at}": modules[name].weight.detach().clone() for at, name in enumerate(names)}
graph = tp.DependencyGraph().build_dependency(model, torch.randn(1, 3, 8, 8))
for root in ("stem", "a", "side", "join"):
    channels = modules[root].out_channels
    group = graph.get_pruning_group(modules[root], tp.prune_conv_out_channels, idxs=list(range(channels)))
    places = []
    for dependency, idxs in group:
        name = next((name for name in names if modules[name] is dependency.layer), None)
        if name is None:
            continue
        axis = int(dependency.pruning_fn in (tp.prune_conv_in_channels, tp.prune_linear_in_channels))
        assert list(idxs) == list(range(idxs[0], idxs[0] + channels)), (root, name, idxs)
        places.append([names.index(name), axis, idxs[0]])
    out[f"{root}.places"] = torch.tensor(places)
    for p in (1, 2):
        importance = tp.importance.GroupMagnitudeImportance(p=p, group_reduction="sum", normalizer=None)
        out[f"{root}.l{p}"] = importance(group)
save_file(out, HERE / "channels.safetensors", {"torch": torch.__version__, "torch-pruning": tp.__version__})
