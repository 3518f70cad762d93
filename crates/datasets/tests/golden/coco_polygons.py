"""Polygons and the run lengths of their masks by pycocotools 2.0.11.

    pip install numpy==2.4.6 pycocotools==2.0.11 && python coco_polygons.py > coco_polygons.json
"""
import json

import numpy as np
from pycocotools import mask as coco

rng = np.random.default_rng(11)


def counts(mask):
    """Pixels outside, inside, outside, ... column by column."""
    flat = mask.reshape(-1, order="F")
    borders = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *borders, flat.size]).tolist()
    return [0, *runs] if flat[0] else runs


polygons = [
    (6, 8, [1, 1, 5, 1, 5, 4, 1, 4]),
    (6, 8, [1.5, 1.5, 5.5, 1.5, 5.5, 4.5, 1.5, 4.5]),
    (6, 8, [1, 1, 1, 1, 5, 1, 5, 4, 1, 4, 1, 1]),
    (6, 8, [0, 0, 8, 0, 8, 6, 0, 6]),
    (6, 8, [-3, -2, 11, -2, 11, 9, -3, 9]),
    (6, 8, [2, 2, 2, 2, 2, 2]),
    (9, 9, [1, 1, 8, 8, 8, 1, 1, 8]),
]
for _ in range(24):
    height, width = (int(side) for side in rng.integers(1, 40, 2))
    corners = int(rng.integers(3, 12))
    xy = rng.uniform(-0.2, 1.2, (corners, 2)) * [width, height]
    polygons.append((height, width, np.round(xy, 2).reshape(-1).tolist()))

rows = []
for height, width, corners in polygons:
    mask = coco.decode(coco.frPyObjects([corners], height, width))[:, :, 0]
    rows.append([height, width, corners, counts(mask)])
print(json.dumps(rows))
