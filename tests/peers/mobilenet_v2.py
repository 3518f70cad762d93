#!/usr/bin/env python3
"""PyTorch's time and memory for what `htl-bench train-step --network mobilenet-v2` does: MobileNetV2's features at
width 1 (torchvision's structure), loss the mean of their squares, AdamW.

    pip install -r requirements.txt
    OMP_NUM_THREADS=2 python3 mobilenet_v2.py --batch 8 --size 128 --steps 10 --layout channels_last
"""
from torch import nn

import training_step

# Expansion, channels, blocks, step of the first block.
TABLE = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def layer(i, o, kernel, stride=1, groups=1):
    return nn.Sequential(
        nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o), nn.ReLU6(True))


class InvertedResidual(nn.Module):
    def __init__(self, i, o, expansion, stride):
        super().__init__()
        hidden = i * expansion
        widen = [layer(i, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *widen, layer(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, o, 1, bias=False), nn.BatchNorm2d(o))
        self.adds_input = stride == 1 and i == o

    def forward(self, x):
        return x + self.conv(x) if self.adds_input else self.conv(x)


def build(_):
    layers, channels = [layer(3, 32, 3, 2)], 32
    for expansion, o, count, stride in TABLE:
        for index in range(count):
            layers.append(InvertedResidual(channels, o, expansion, 1 if index else stride))
            channels = o
    return nn.Sequential(*layers, layer(channels, 1280, 1))


if __name__ == "__main__":
    training_step.main("mobilenet-v2", build, lambda output, _: output.square().mean())
