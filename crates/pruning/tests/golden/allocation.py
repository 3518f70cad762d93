#!/usr/bin/env python3
"""Golden shares and scores of layer-adaptive pruning, computed from the papers' definitions.

    python3 allocation.py  # needs numpy, timm and safetensors; writes allocation.safetensors beside itself

`shape.*` are the shapes of the convolutions of timm's EfficientNet-Lite0 and of its classifier; `erk.DENSITY.*` what share of
each Erdos-Renyi-kernel leaves (Evci et al. 2020, as `sparse_utils.get_sparsities_erdos_renyi` of google-research/rigl does it,
but without rounding). `weight.*` are weights of three layers in 64 bits, `lamp.*` their scores by equation 4 of Lee et al. 2021,
each a sum of its own.
"""
import pathlib

import numpy as np
import timm
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent


def erk(shapes, density):
    dense = set()
    while True:
        free = [name for name in shapes if name not in dense]
        budget = density * sum(np.prod(s, dtype=float) for s in shapes.values())
        budget -= sum(np.prod(shapes[name], dtype=float) for name in dense)
        raw = {name: np.sum(shapes[name]) / np.prod(shapes[name], dtype=float) for name in free}
        epsilon = budget / sum(raw[name] * np.prod(shapes[name], dtype=float) for name in free)
        largest = max(raw.values())
        if epsilon * largest <= 1:
            return {name: 1.0 if name in dense else epsilon * raw[name] for name in shapes}
        dense |= {name for name in free if raw[name] == largest}


def lamp(weight):
    flat = weight.reshape(-1)
    return np.array([w * w / sum(u * u for u in flat if abs(u) >= abs(w)) for w in flat]).reshape(weight.shape)


model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if p.dim() in (2, 4)}
out = {"shape." + name: np.array(shape, dtype=np.int64) for name, shape in shapes.items()}
for density in (0.5, 0.2, 0.1):
    out |= {f"erk.{density}.{name}": np.array([share]) for name, share in erk(shapes, density).items()}
generator = np.random.default_rng(20261128)
for name, shape in {"conv": (6, 4, 3, 3), "depthwise": (5, 1, 3, 3), "linear": (7, 9)}.items():
    weight = generator.normal(size=shape)
    out |= {f"weight.{name}.weight": weight, f"lamp.{name}.weight": lamp(weight)}
save_file(out, HERE / "allocation.safetensors", {"timm": timm.__version__, "numpy": np.__version__})
