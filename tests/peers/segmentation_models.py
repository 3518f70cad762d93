#!/usr/bin/env python3
"""PyTorch's time and memory for what `htl bench train-step --encoder NAME` does: an encoder of timm or torchvision with the U-Net
decoder of segmentation_models_pytorch, loss binary cross entropy, AdamW.

    pip install -r requirements.txt
    OMP_NUM_THREADS=2 python3 segmentation_models.py --encoder efficientnet-lite0 --batch 8 --size 128 --steps 10

The decoder has 16 channels at full size. What trains alike is compared in `crates/models/tests/peers.rs`.
"""
import sys

import segmentation_models_pytorch as smp
from torch.nn import functional

import training_step

# htl's names, and those of segmentation_models_pytorch.
ENCODERS = {"efficientnet-lite0": "tu-tf_efficientnet_lite0", "efficientnet-lite2": "tu-tf_efficientnet_lite2",
            "mobilenet-v2": "tu-mobilenetv2_100", "resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50"}


def main():
    at = sys.argv.index("--encoder")
    encoder = sys.argv[at + 1]
    del sys.argv[at:at + 2]
    build = lambda arguments: smp.Unet(ENCODERS[encoder], encoder_weights=None, classes=1,
                                       decoder_channels=[arguments.width << level for level in (4, 3, 2, 1, 0)])
    training_step.main(f"{encoder} + unet", build, functional.binary_cross_entropy_with_logits, width=16)


if __name__ == "__main__":
    main()
