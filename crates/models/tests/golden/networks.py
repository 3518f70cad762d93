#!/usr/bin/env python3
"""Golden values of encoders, decoders and heads, made with the networks that people know.

    pip install torch torchvision timm segmentation_models_pytorch safetensors
    python3 networks.py        # writes networks/*.safetensors beside itself

Weights are not stored: both sides compute them, in f64, from the names that htl gives to tensors (`fill`). Of each network:
`evaluated` and `trained` (its logits in evaluation and in training, every 17th), `loss` (their mean square in training),
`grad` and `after` (of each parameter and of each running statistic, in the order of their names: sum, sum of absolute values,
and four values spread evenly), `image_grad` (every 97th). Everything is f64; versions are in the metadata.
"""
import pathlib
import re

import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent / "networks"
GOLDEN_RATIO = 0.6180339887498949
VERSIONS = {m.__name__: m.__version__ for m in (smp, timm, torch, torchvision)}


def fnv1a(name):
    h = 0xcbf29ce484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001b3) % 2**64
    return h


def spread(name, count):
    """Numbers in [0, 1) that look random."""
    return (torch.arange(count, dtype=torch.float64) * GOLDEN_RATIO + (fnv1a(name) % 10007) / 10007) % 1


def fill(name, shape):
    x = spread(name, torch.Size(shape).numel()).reshape(shape)
    if len(shape) > 1:
        return (2 * x - 1) * (6 / torch.Size(shape[1:]).numel()) ** 0.5
    if name.endswith(("running_var", "weight")):
        return 0.5 + x
    return 0.6 * (x - 0.5)


def ours(name):
    """What htl calls a tensor of the twin."""
    name = name.replace("encoder.model.", "encoder.").replace("segmentation_head.0.", "head.")
    name = name.replace("classification_head.3.", "classification_head.").replace("classifier.0.", "head.")
    block = re.fullmatch(r"decoder\.blocks\.(\d+)\.conv([12])\.([01])\.(.*)", name)
    if block:
        at, conv, layer, rest = block.groups()
        name = f"decoder.{at}.{3 * (int(conv) - 1) + int(layer)}.{rest}"
    return name


def summary(values):
    flat = values.flatten()
    at = [i * (len(flat) - 1) // 3 for i in range(4)]
    return torch.stack([flat.sum(), flat.abs().sum(), *flat[at]])


def make(name, model, size=(64, 96), batch=2, channels=3):
    model = model.double()
    for module in model.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = 0.0
    tensors = {ours(k): v for k, v in model.state_dict().items() if "num_batches" not in k}
    with torch.no_grad():
        for key, value in tensors.items():
            value.copy_(fill(key, value.shape))
    images = (2 * spread("images", batch * channels * size[0] * size[1]) - 1).reshape(batch, channels, *size)
    images.requires_grad_()
    flat = lambda out: torch.cat([o.flatten() for o in (out if isinstance(out, tuple) else (out,))])
    model.eval()
    with torch.no_grad():
        evaluated = flat(model(images))
    model.train()
    trained = flat(model(images))
    loss = trained.square().mean()
    loss.backward()
    grads = {ours(k): v.grad for k, v in model.named_parameters()}
    after = {ours(k): v for k, v in model.named_buffers() if "num_batches" not in k}
    rows = lambda by_name: torch.stack([summary(by_name[k]) for k in sorted(by_name)])
    HERE.mkdir(exist_ok=True)
    out = {"evaluated": evaluated[::17], "trained": trained.detach()[::17], "loss": loss.detach()[None], "grad": rows(grads),
           "after": rows(after), "image_grad": images.grad.flatten()[::97]}
    save_file({k: v.clone().contiguous() for k, v in out.items()}, HERE / f"{name}.safetensors", VERSIONS)
    print(name, len(grads), "parameters,", float(loss))


class Lraspp(nn.Module):
    """torchvision's head on a timm encoder, both classifiers as one convolution on both maps."""

    def __init__(self, encoder, low, high, width):
        super().__init__()
        self.encoder = encoder
        head = torchvision.models.segmentation.lraspp.LRASPPHead(low, high, 1, width)
        self.decoder = nn.ModuleDict({"cbr": head.cbr, "scale": head.scale})
        self.head = nn.Conv2d(low + width, 1, 1)

    def forward(self, x):
        features = self.encoder(x)
        low, high = features[1], features[-1]
        y = self.decoder["cbr"](high) * self.decoder["scale"](high)
        y = nn.functional.interpolate(y, size=low.shape[-2:], mode="bilinear", align_corners=False)
        return nn.functional.interpolate(self.head(torch.cat([low, y], 1)), size=x.shape[-2:], mode="bilinear", align_corners=True)


def timm_encoder(name, **more):
    return timm.create_model(name, features_only=True, pretrained=False, **more)


class TimmClassifier(nn.Module):
    """The mean of a timm encoder's last maps and a linear layer."""

    def __init__(self, name, channels, classes, **more):
        super().__init__()
        self.encoder = timm_encoder(name, **more)
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        return self.head(self.encoder(x)[-1].mean((2, 3)))


class TorchvisionClassifier(nn.Module):
    def __init__(self, resnet, channels, classes):
        super().__init__()
        self.encoder = resnet(weights=None)
        self.encoder.fc = nn.Identity()
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        return self.head(self.encoder(x))


def smp_net(kind, encoder, **more):
    return kind(encoder_name=encoder, encoder_weights=None, classes=1, **more)


if __name__ == "__main__":
    torch.manual_seed(0)
    make("resnet18-unet", smp_net(smp.Unet, "resnet18"))
    make("lite0-unet", smp_net(smp.Unet, "tu-tf_efficientnet_lite0"))
    make("mobilenet-v2-unet", smp_net(smp.Unet, "tu-mobilenetv2_100"))
    make("resnet18-fpn", smp_net(smp.FPN, "resnet18", decoder_pyramid_channels=128, decoder_segmentation_channels=64))
    make("lite0-deeplab", smp_net(smp.DeepLabV3Plus, "tu-tf_efficientnet_lite0", decoder_channels=128, encoder_output_stride=16))
    make("mobilenet-v2-lraspp", Lraspp(timm_encoder("mobilenetv2_100"), 24, 320, 64))
    make("resnet34-classifier", TorchvisionClassifier(torchvision.models.resnet34, 512, 3), batch=3)
    make("resnet50-classifier", TorchvisionClassifier(torchvision.models.resnet50, 2048, 3), batch=3)
    make("resnet18-stride-8", TimmClassifier("resnet18", 512, 2, output_stride=8), batch=3)
    make("resnet50-stride-16", TimmClassifier("resnet50", 2048, 2, output_stride=16), batch=3)
    make("lite2-classifier", TimmClassifier("tf_efficientnet_lite2", 352, 3), batch=3)
    make("lite2-stride-8", TimmClassifier("tf_efficientnet_lite2", 352, 2, output_stride=8), batch=3)
    make("grey-both", smp_net(smp.Unet, "resnet18", in_channels=1, aux_params={"classes": 3}), channels=1)
