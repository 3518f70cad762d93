#!/usr/bin/env python3
"""Loads weights that htl wrote into a network of segmentation_models_pytorch, and says its logits.

    python3 smp_twin.py ENCODER CLASS WEIGHTS.safetensors IMAGES.safetensors OUT.safetensors
"""
import sys

import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save_file

encoder, kind, weights, images, out = sys.argv[1:]
model = getattr(smp, kind)(encoder_name=encoder, encoder_weights=None, classes=1)
model.load_state_dict(load_file(weights), strict=True)
model.eval()
with torch.no_grad():
    save_file({"logits": model(load_file(images)["images"]).contiguous()}, out)
