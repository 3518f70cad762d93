"""Writes largest_component.json: what scipy.ndimage.label leaves of small masks.

    pip install scipy==1.17.1 numpy==2.4.6     (the versions used are in the file)
    python make_largest_component.py

Pixels that touch at a side or a corner are connected. Of components with equally many pixels the one is kept whose first pixel
in reading order comes first.
"""

import json
import pathlib
from importlib.metadata import version

import numpy as np
from scipy import ndimage

rng = np.random.default_rng(20261128)


def largest(mask):
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), int))
    if count == 0:
        return mask
    areas = ndimage.sum_labels(mask, labels, range(1, count + 1))
    first = [int(np.flatnonzero(labels.ravel() == name)[0]) for name in range(1, count + 1)]
    best = min(range(count), key=lambda at: (-areas[at], first[at]))
    return labels == best + 1


def rows(mask):
    return ["".join("#" if pixel else "." for pixel in row) for row in mask]


def drawn(*lines):
    return np.array([[pixel == "#" for pixel in line] for line in lines])


masks = [
    drawn("....", "....", "...."),
    drawn("####", "####"),
    drawn("#"),
    drawn("."),
    # Ties: two of three pixels, four of one, and a tie whose first pixel lies further right in an earlier row.
    drawn("###...", "......", "...###"),
    drawn("#.#", "...", "#.#"),
    drawn("....##", "#....#", "##....", "......"),
    # Corners connect; a ring is one part, what it encloses another.
    drawn("#....", ".#...", "..#..", "....#", "....#"),
    drawn("#####", "#...#", "#.#.#", "#...#", "#####"),
]
for share in (0.15, 0.3, 0.45, 0.6):
    for size in ((1, 12), (12, 1), (9, 14), (17, 11)):
        masks.append(rng.random(size) < share)
for _ in range(4):
    masks.append(ndimage.gaussian_filter(rng.standard_normal((20, 24)), 1.5) > 0.1)

found = [{"mask": rows(mask), "largest": rows(largest(mask))} for mask in masks]
made = {"scipy": version("scipy"), "numpy": version("numpy")}
text = json.dumps({"made_with": made, "masks": found}, indent=0) + "\n"
pathlib.Path(__file__).with_name("largest_component.json").write_text(text)
