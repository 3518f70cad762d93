"""Masks and their run lengths by pycocotools 2.0.11: the text that `encode` makes, and the numbers in it.

    pip install numpy==2.4.6 pycocotools==2.0.11 && python run_lengths.py > run_lengths.json
"""
import json

import numpy as np
from pycocotools import mask as coco

rng = np.random.default_rng(7)
shapes = [(1, 1), (3, 5), (4, 4), (7, 2)]
masks = [np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)]
masks += [(rng.random(shape) < 0.4).astype(np.uint8) for shape in shapes]
# Long runs, and counts that shrink: numbers of several characters, and negative differences.
rows, columns = np.mgrid[:24, :40]
masks.append(((rows - 10) ** 2 + (columns - 18) ** 2 < 60).astype(np.uint8))


def counts(mask, text):
    """Numbers of COCO's compressed string: five bits a character, differences to the count before the last one."""
    numbers, at = [], 0
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


def row(mask):
    text = coco.encode(np.asfortranarray(mask))["counts"]
    return [*mask.shape, mask.reshape(-1).tolist(), counts(mask, text), text.decode()]


print(json.dumps([row(mask) for mask in masks]))
