#!/usr/bin/env python3
"""Golden values of the reference U-Net and of the classifier on its encoder, made with PyTorch.

    python3 make.py        # needs torch and safetensors; writes unet.safetensors and classifier.safetensors beside itself

Weights (f32, names of the state_dict behind `state.`) and input are what PyTorch draws for the seed, the normalisation's
scale, shift and running statistics moved away from 1, 0, 0, 1. Everything else is computed from them in f64:
`evaluated` (logits, running statistics), then one training pass: `trained` (logits, batch statistics), `loss`, `grad.*`
(gradient of the loss with respect to each parameter and to the input) and `after.*` (running statistics afterwards).
The classifier has `maps` besides (class activation maps in evaluation) and `localized` (the map of class 1, bilinear,
min-max normalised).
"""
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent
WIDTH, CLASSES = 2, 3


def block(i, o):
    return nn.Sequential(
        nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
        nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


def encoder(w):
    return nn.ModuleList([block(3, w), block(w, 2 * w), block(2 * w, 4 * w), block(4 * w, 8 * w)])


def encode(blocks, x):
    outputs = []
    for level, b in enumerate(blocks):
        x = b(F.max_pool2d(x, 2) if level else x)
        outputs.append(x)
    return outputs


class UNet(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.encoder = encoder(w)
        self.decoder = nn.ModuleList([block(12 * w, 4 * w), block(6 * w, 2 * w), block(3 * w, w)])
        self.head = nn.Conv2d(w, 1, 1)

    def forward(self, x):
        skips = encode(self.encoder, x)
        x = skips[-1]
        for level, b in enumerate(self.decoder):
            x = b(torch.cat([F.interpolate(x, scale_factor=2), skips[2 - level]], 1))
        return self.head(x)


class Classifier(nn.Module):
    def __init__(self, w, classes):
        super().__init__()
        self.encoder = encoder(w)
        self.head = nn.Linear(8 * w, classes)

    def forward(self, x):
        return self.head(encode(self.encoder, x)[-1].mean((2, 3)))


def make(name, model, images, target, loss_of, extra=None):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    out = {"state." + k: v.clone() for k, v in model.state_dict().items() if "num_batches" not in k}
    out |= {"images": images.clone(), "target": target}
    model, images = model.double(), images.double().requires_grad_()
    with torch.no_grad():
        model.eval()
        out["evaluated"] = model(images)
        if extra:
            out |= extra(model, images)
    model.train()
    logits = model(images)
    loss = loss_of(logits, target)
    loss.backward()
    out |= {"trained": logits.detach(), "loss": loss.detach()[None], "grad.images": images.grad}
    out |= {"grad." + k: v.grad for k, v in model.named_parameters()}
    out |= {"after." + k: v for k, v in model.named_buffers() if "num_batches" not in k}
    save_file({k: v.contiguous() for k, v in out.items()}, HERE / f"{name}.safetensors", {"torch": torch.__version__})


def maps(model, x):
    features = encode(model.encoder, x)[-1]
    cams = torch.einsum("kc,bchw->bkhw", model.head.weight, features)
    one = F.interpolate(cams[:, 1:2], size=x.shape[2:], mode="bilinear", align_corners=False)
    low, high = one.amin((2, 3), keepdim=True), one.amax((2, 3), keepdim=True)
    return {"maps": cams, "localized": (one - low) / (high - low)}


torch.manual_seed(20261123)
images = torch.randn(3, 3, 16, 24)
mask = (torch.rand(3, 1, 16, 24) > 0.5).double()
make("unet", UNet(WIDTH), images, mask, F.binary_cross_entropy_with_logits)
make("classifier", Classifier(WIDTH, CLASSES), images, torch.tensor([2, 0, 1]), F.cross_entropy, maps)
