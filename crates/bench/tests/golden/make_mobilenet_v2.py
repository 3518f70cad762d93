#!/usr/bin/env python3
"""Golden values of MobileNetV2's features at width 1, made with PyTorch.

    python3 make_mobilenet_v2.py        # needs torch and safetensors; writes mobilenet_v2.safetensors beside itself

The network has torchvision's structure and names (`mobilenet_v2().features`). Its two million weights are not stored:
tests make them, and the input, from the position of each number by the same integer arithmetic as `noise` here.
Everything is computed in f64. Stored are the features in evaluation and in training (`evaluated`, `trained`, every 40th
channel), the loss (mean of the squared features), gradients of the input and of a few parameters in full (`grad.*`), and
of every parameter and buffer a row of two numbers in the order of sorted names: its dot product with noise and its
Euclidean norm, of gradients (`gradient_sums`) and of running statistics after the training pass (`buffer_sums`).
"""
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
# The network whose speed is measured is the one whose values are.
sys.path.insert(0, str(HERE.parents[3] / "tests" / "peers"))
import mobilenet_v2  # noqa: E402

FULL = ["features.0.0.weight", "features.2.conv.1.0.weight", "features.3.conv.3.weight", "features.18.1.bias"]


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = mobilenet_v2.build(None)

    def forward(self, x):
        return self.features(x)


def noise(stream, *shape):
    """Numbers in [-1, 1), each from its position by a 32-bit integer hash."""
    count = torch.Size(shape).numel()
    x = (torch.arange(count) + stream * 0x9E3779B1) & 0xFFFFFFFF
    for _ in range(2):
        x = ((x >> 16) ^ x) * 0x45D9F3B & 0xFFFFFFFF
    x = (x >> 16) ^ x
    return (x.double() / 2**31 - 1).reshape(shape)


def sums(tensors):
    rows = [(float((t * noise(7, *t.shape)).sum()), float(t.norm())) for _, t in sorted(tensors.items())]
    return torch.tensor(rows, dtype=torch.float64)


model = MobileNetV2().double()
state = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
for stream, (name, value) in enumerate(sorted(state.items())):
    drawn = noise(100 + stream, *value.shape)
    if value.dim() == 4:
        drawn = drawn * (6 / value[0].numel()) ** 0.5
    elif name.endswith(("running_var", "weight")):
        drawn = 1 + drawn / 2
    else:
        drawn = drawn * 0.3
    # As a network of 32-bit floats holds them.
    value.copy_(drawn.float())
images = noise(1, 2, 3, 64, 72).float().double().requires_grad_()
model.eval()
with torch.no_grad():
    evaluated = model(images)
model.train()
trained = model(images)
loss = trained.square().mean()
loss.backward()
gradients = {k: v.grad for k, v in model.named_parameters()}
out = {"evaluated": evaluated[:, ::40], "trained": trained.detach()[:, ::40], "loss": loss.detach()[None]}
out |= {"grad." + k: gradients[k] for k in FULL} | {"grad.images": images.grad[:, :, ::8, ::8]}
out |= {"gradient_sums": sums(gradients)}
out |= {"buffer_sums": sums({k: v for k, v in model.named_buffers() if "num_batches" not in k})}
print(sum(v.numel() for v in gradients.values()), "parameters; loss", loss.item())
save_file({k: v.contiguous() for k, v in out.items()}, HERE / "mobilenet_v2.safetensors", {"torch": torch.__version__})
