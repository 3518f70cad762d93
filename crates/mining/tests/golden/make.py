"""Golden values for tests/golden.rs from scipy, statsmodels and numpy.

Run: python make.py   (writes statistics.json, scores.json and *.safetensors beside itself)
"""

import json
from pathlib import Path

import numpy as np
import safetensors
import scipy
import statsmodels
from safetensors.numpy import save_file
from scipy import stats
from statsmodels.stats.contingency_tables import Table2x2
from statsmodels.stats.multitest import multipletests

HERE = Path(__file__).parent
VERSIONS = {
    "numpy": np.__version__,
    "safetensors": safetensors.__version__,
    "scipy": scipy.__version__,
    "statsmodels": statsmodels.__version__,
}


def tables():
    rng = np.random.default_rng(0)
    fixed = [[3, 17, 40, 140], [0, 12, 9, 60], [12, 0, 60, 9], [5, 5, 5, 5], [1, 0, 0, 1], [10, 10, 20, 20],
             [400, 1600, 350, 1650], [7, 193, 1, 1799], [120, 80, 30, 570], [1, 1, 7, 391], [2, 3, 3, 2]]
    drawn = [[int(v) for v in rng.integers(0, high, 4)] for high in (4, 8, 30, 200, 2000) for _ in range(8)]
    return [t for t in fixed + drawn if t[0] + t[1] and t[2] + t[3] and t[0] + t[2] and t[1] + t[3]]


def contingency(table):
    a, b, c, d = table
    square = np.array([[a, b], [c, d]])
    # Haldane-Anscombe by hand: shift_zeros=True puts 0.5 only where the zero is.
    peer = Table2x2(square + 0.5 * (0 in table), shift_zeros=False)
    wilson = stats.binomtest(a, a + b).proportion_ci(method="wilson")
    return {
        "table": table,
        "fisher": float(stats.fisher_exact(square).pvalue),
        "odds_ratio": [float(peer.oddsratio), *map(float, peer.oddsratio_confint())],
        "rate_ratio": [float(peer.riskratio), *map(float, peer.riskratio_confint())],
        "wilson": [a / (a + b), float(wilson.low), float(wilson.high)],
    }


def adjustments():
    rng = np.random.default_rng(1)
    for p in ([0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.5, 0.5], list(rng.random(25) ** 3), [1.0, 0.9, 1e-12, 0.0]):
        p = [float(v) for v in p]
        holm, bh = (multipletests(p, method=m)[1] for m in ("holm", "fdr_bh"))
        yield {"p": p, "holm": list(map(float, holm)), "fdr_bh": list(map(float, bh))}


def correlations():
    rng = np.random.default_rng(2)
    for n, levels in ((3, 100), (10, 4), (50, 1000), (200, 7), (6, 3)):
        x = rng.integers(0, levels, n).astype(float)
        y = 0.3 * x + rng.integers(0, levels, n)
        result = stats.spearmanr(x, y)
        yield {"x": x.tolist(), "y": y.tolist(), "rho": float(result.statistic), "p": float(result.pvalue)}
    x = np.arange(5.0)
    yield {"x": x.tolist(), "y": (-x).tolist(), "rho": -1.0, "p": 0.0}


def iou(a, b):
    union = np.logical_or(a, b).sum()
    return 1.0 if union == 0 else np.logical_and(a, b).sum() / union


def consensus(maps):
    return maps.astype(np.float64).mean(0).astype(np.float32)


def modal(maps):
    if len(maps) % 2 == 0:
        return consensus(maps) > 0.5
    return (maps > 0.5).sum(0) * 2 > len(maps)


def outline(mask):
    return np.pi / 4 * ((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


def compare(a, b):
    h, w = a.shape[1:]
    band = 0.02 * np.hypot(h, w)
    ca, cb, ma, mb = consensus(a), consensus(b), modal(a), modal(b)
    empty = not ((ca > 0.5).any() or (cb > 0.5).any()) or not (ma.any() or mb.any())
    if empty:
        return 1.0, 1.0, min(h, w) / 2 / band, True
    soft = 1 - np.minimum(ca, cb).astype(np.float64).sum() / np.maximum(ca, cb).astype(np.float64).sum()
    length = (outline(ma) + outline(mb)) / 2
    differing = (ma != mb).sum()
    boundary = min(differing / length, min(h, w) / 2) / band if differing else 0.0
    return 1 - iou(ma, mb), soft, boundary, False


def score(dense, sparse, sham, truth):
    hard, soft, boundary, empty = compare(dense, sparse)
    sham_hard, sham_soft, sham_boundary, _ = compare(dense, sham)
    masks = dense > 0.5
    pairs = [1 - iou(masks[i], masks[j]) for i in range(len(masks)) for j in range(i)]
    spread = float(np.mean(pairs))
    mean = consensus(dense).astype(np.float64)
    with np.errstate(all="ignore"):
        entropy = np.nan_to_num(-mean * np.log2(mean)) + np.nan_to_num(-(1 - mean) * np.log2(1 - mean))
    dense_mask, sparse_mask = consensus(dense) > 0.5, consensus(sparse) > 0.5
    error = 1 - iou(dense_mask, truth)
    seed_error = np.mean([1 - iou(m, truth) for m in masks])
    return {
        "disagreement": hard, "soft_disagreement": soft, "boundary_disagreement": boundary,
        "sham": sham_hard, "soft_sham": sham_soft, "boundary_sham": sham_boundary,
        "excess": hard - sham_hard, "soft_excess": soft - sham_soft, "boundary_excess": boundary - sham_boundary,
        "dense_spread": spread, "entropy": entropy.mean(),
        "pie": float(iou(modal(dense), modal(sparse)) < 0.5), "both_empty": float(empty),
        "dense_error": error, "iou_drop": iou(dense_mask, truth) - iou(sparse_mask, truth),
        "label_conflict": seed_error * (1 - spread) if dense_mask.any() else None,
        "suspect_label": float(spread <= 0.2 and error >= 0.5 and dense_mask.any()),
    }


def knockoff_w(distances):
    """Each distance over its median, pruned less sham, both directions averaged."""
    one, one_sham, other, other_sham = [np.asarray(d) / np.median(d) for d in distances]
    return ((one - one_sham + other - other_sham) / 2).tolist()


def blob(rng, h, w, size, noise):
    y, x = np.mgrid[:h, :w]
    cy, cx = h / 2 + rng.normal(0, noise), w / 2 + rng.normal(0, noise)
    distance = np.hypot(y - cy, x - cx) - size
    return (1 / (1 + np.exp(distance + rng.normal(0, 0.3, (h, w))))).astype(np.float32)


def populations():
    rng = np.random.default_rng(3)
    n, h, w, ids = 8, 12, 10, [f"ISIC_{i:07d}" for i in range(8)]
    expected = {}
    for seeds in (3, 4):
        size, noise = rng.uniform(1.5, 4.5, n), rng.uniform(0.1, 1.5, n)
        size[0] = -30  # nobody sees anything in the first image
        size[3], noise[3] = 4.0, 0.02  # all agree, and the label is elsewhere
        kinds = {
            kind: np.stack([np.stack([blob(rng, h, w, size[i], noise[i] + extra) for i in range(n)]) for _ in range(seeds)])
            for kind, extra in (("dense", 0.0), ("sparse", 0.8), ("sham", 0.1))
        }
        truth = np.stack([np.roll(blob(rng, h, w, max(size[i], 2), 0.2) > 0.5, 5 if i == 3 else 0, 1) for i in range(n)])
        for kind, maps in kinds.items():
            order = np.arange(n) if kind == "dense" else rng.permutation(n)  # ids must match, not positions
            header = json.dumps({"version": 1, "kind": "probability", "ids": [ids[i] for i in order]})
            save_file({f"maps.{k}": np.ascontiguousarray(maps[k][order]) for k in range(seeds)},
                      HERE / f"{kind}{seeds}.safetensors", metadata={"population": header})
            (HERE / f"{kind}{seeds}.safetensors").chmod(0o644)
        half = seeds // 2
        dense, sparse, sham = kinds["dense"], kinds["sparse"], kinds["sham"]
        a, c = slice(0, half), slice(half, 2 * half)
        d = lambda x, y, i: compare(x[:, i], y[:, i])[0]
        expected[str(seeds)] = {
            "ids": ids,
            "truth": {ids[i]: truth[i].astype(int).ravel().tolist() for i in range(n)},
            "scores": [{k: v if v is None else float(v) for k, v in score(dense[:, i], sparse[:, i], sham[:, i], truth[i]).items()} for i in range(n)],
            "w": knockoff_w([[d(x, y, i) for i in range(n)] for x, y in
                             [(dense[a], sparse[c]), (dense[a], sham[c]), (dense[c], sparse[a]), (dense[c], sham[a])]]),
        }
    return expected


def write(name, content):
    (HERE / name).write_text(json.dumps({"versions": VERSIONS, **content}, separators=(",", ":")) + "\n")


write("statistics.json", {
    "contingency": [contingency(t) for t in tables()],
    "adjustments": list(adjustments()),
    "correlations": list(correlations()),
})
write("scores.json", {"populations": populations()})
