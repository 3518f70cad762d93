#!/usr/bin/env python3
"""Masks by the lines of Python in crates/onnx/README.md and ONNX Runtime, beside those of `htl predict`; prints one JSON
object: the numbers of images, of pixels and of pixels that differ, the share of lesion pixels, and how far from the threshold
the probability of a pixel that differs is at most.

    pip install onnxruntime==1.32.0 numpy pillow
    htl predict --checkpoint checkpoint.safetensors photos --out predicted
    htl models export --checkpoint checkpoint.safetensors --onnx model.onnx
    python3 onnx_masks.py --readme crates/onnx/README.md --model model.onnx --masks predicted/masks photos/*
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import tempfile

import numpy
from PIL import Image


def lines(readme):
    """The README's block of Python."""
    [block] = re.findall(r"^```python\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    return compile(block, str(readme), "exec")


def checked(model):
    """What `onnx` thinks of the file, where it is installed."""
    try:
        import onnx
    except ImportError:
        return None
    onnx.checker.check_model(str(model), full_check=True)
    return onnx.__version__


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--masks", type=pathlib.Path, required=True)
    parser.add_argument("photos", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    code, model = lines(args.readme), args.model.resolve()
    masks, photos = args.masks.resolve(), [photo.resolve() for photo in args.photos]
    result = {"images": 0, "pixels": 0, "lesion": 0, "differ": 0, "farthest": 0.0, "onnx": checked(model)}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        shutil.copy(model, "model.onnx")
        for photo in photos:
            shutil.copy(photo, "photo.jpg")
            names = {}
            exec(code, names)
            mask = numpy.asarray(Image.open("mask.png")) > 127
            ours = numpy.asarray(Image.open(masks / f"{photo.stem}.png")) > 127
            assert mask.shape == ours.shape, f"{photo}: {mask.shape}, htl has {ours.shape}"
            differ = mask != ours
            result["images"] += 1
            result["pixels"] += mask.size
            result["lesion"] += int(ours.sum())
            result["differ"] += int(differ.sum())
            if differ.any():
                distance = numpy.abs(names["probability"] - float(names["about"]["threshold"]))[differ].max()
                result["farthest"] = max(result["farthest"], float(distance))
        os.chdir(model.parent)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
