"""Masks and their run lengths by pycocotools 2.0.11: what `encode` compresses, `decode`d again and counted.

    pip install numpy==2.4.6 pycocotools==2.0.11 && python coco.py > coco.json
"""
import json

import numpy as np
from pycocotools import mask as coco

rng = np.random.default_rng(7)
shapes = [(1, 1), (3, 5), (4, 4), (7, 2)]
masks = [np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)]
masks += [(rng.random(shape) < 0.4).astype(np.uint8) for shape in shapes]


def counts(mask):
    """Numbers of COCO's compressed string: five bits a character, differences to the count before the last one."""
    text, numbers, at = coco.encode(np.asfortranarray(mask))["counts"], [], 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = text[at] - 48
            value |= (bits & 0x1F) << (5 * shift)
            more = bool(bits & 0x20)
            at, shift = at + 1, shift + 1
            if not more and bits & 0x10:
                value |= -1 << (5 * shift)
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
    whole = {"size": list(mask.shape), "counts": numbers}
    assert (coco.decode(coco.frPyObjects(whole, *mask.shape)) == mask).all()
    return numbers


print(json.dumps([[*mask.shape, mask.reshape(-1).tolist(), counts(mask)] for mask in masks]))
