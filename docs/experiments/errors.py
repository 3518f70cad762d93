#!/usr/bin/env python3
"""What a score says about true errors, and what it adds to seed spread and sham: errors.py SCORES.csv

Rank correlations with `dense_error`, raw and after both sides were cleared of the ranks of `dense_spread` and `sham`; the interval is
a percentile bootstrap over images (1,000 resamples, seed 0). Needs numpy and scipy (made with 2.4.6 and 1.17.1)."""
import csv
import sys

import numpy as np
from scipy.stats import rankdata, spearmanr

SCORES = [
    "dense_spread", "disagreement", "sham", "forgetting", "forgetting_raw", "forgetting_random", "forgetting_random_raw",
    "forgetting_noise", "forgetting_noise_raw",
]


def cleared(y, others):
    design = np.stack([np.ones(len(y)), *others], axis=1)
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]


def beyond(columns, score, rows):
    ranks = {name: rankdata(columns[name][rows]) for name in (score, "dense_error", "dense_spread", "sham")}
    others = [ranks[name] for name in ("dense_spread", "sham") if name != score]
    x, y = cleared(ranks[score], others), cleared(ranks["dense_error"], others)
    return np.corrcoef(x, y)[0, 1]


def main(path):
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dense_error"]]
    columns = {name: np.array([float(row[name]) for row in rows]) for name in [*SCORES, "dense_error"]}
    count, generator = len(rows), np.random.default_rng(0)
    resamples = [generator.integers(0, count, count) for _ in range(1000)]
    print(f"{count} images\n{'score':24}{'with error':>12}{'beyond':>9}  95 % interval")
    for score in SCORES:
        own = spearmanr(columns[score], columns["dense_error"]).statistic
        low, high = np.percentile([beyond(columns, score, rows) for rows in resamples], [2.5, 97.5])
        print(f"{score:24}{own:+12.2f}{beyond(columns, score, np.arange(count)):+9.2f}  {low:+.2f} to {high:+.2f}")


main(sys.argv[1])
