#!/usr/bin/env python3
"""PyTorch's time and memory for what `htl bench train-step` does: the reference U-Net, binary cross entropy, AdamW.

    pip install -r requirements.txt
    OMP_NUM_THREADS=2 python3 unet.py --batch 8 --size 128 --width 16 --steps 10 --layout channels_last
"""
import torch
import torch.nn.functional as F
from torch import nn

import training_step


def block(i, o):
    return nn.Sequential(
        nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(True),
        nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(True))


class UNet(nn.Module):
    """Encoder w, 2w, 4w, 8w with 2x2 max pooling; decoder 4w, 2w, w on (nearest x2, skip); 1x1 head."""

    def __init__(self, w):
        super().__init__()
        self.encoder = nn.ModuleList([block(3, w), block(w, 2 * w), block(2 * w, 4 * w), block(4 * w, 8 * w)])
        self.decoder = nn.ModuleList([block(12 * w, 4 * w), block(6 * w, 2 * w), block(3 * w, w)])
        self.head = nn.Conv2d(w, 1, 1)

    def forward(self, x):
        skips = []
        for level, layers in enumerate(self.encoder):
            x = layers(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level, layers in enumerate(self.decoder):
            x = layers(torch.cat([F.interpolate(x, scale_factor=2), skips[2 - level]], 1))
        return self.head(x)


if __name__ == "__main__":
    training_step.main(
        "unet", lambda arguments: UNet(arguments.width), F.binary_cross_entropy_with_logits, width=16)
