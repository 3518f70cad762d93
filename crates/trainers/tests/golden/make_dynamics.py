"""Golden values for tests/dynamics.rs: losses and overlaps by scikit-learn, norms and margins by numpy and scipy.

Run: pip install numpy scipy scikit-learn; python make_dynamics.py   (writes dynamics.json beside itself)
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import jaccard_score, log_loss

HERE = Path(__file__).parent


def floats(values):
    return np.asarray(values, np.float32).astype(np.float64)


def masks():
    rng = np.random.default_rng(0)
    n, pixels = 10, 48
    logits = floats(rng.normal(0, 3, (n, pixels)))
    y = (rng.random((n, pixels)) < expit(logits)).astype(int)
    y[0] = 1 - y[0]
    y[1], logits[1] = 0, -np.abs(logits[1])
    logits[2] = floats(logits[2] * 8)
    p = expit(logits)
    both_empty = [not y[i].any() and not (logits[i] > 0).any() for i in range(n)]
    return {
        "logits": logits.tolist(),
        "labels": y.tolist(),
        # log_loss clips probabilities; these logits are far from its limit.
        "loss": [float(log_loss(y[i], p[i], labels=[0, 1])) for i in range(n)],
        "margin": [float(np.mean(logits[i][y[i] == 1].sum() - logits[i][y[i] == 0].sum()) / pixels) for i in range(n)],
        "el2n": [float(np.sqrt(np.mean((p[i] - y[i]) ** 2))) for i in range(n)],
        "correct": [both_empty[i] or bool(jaccard_score(y[i], logits[i] > 0, zero_division=0) >= 0.5) for i in range(n)],
    }


def classes():
    rng = np.random.default_rng(1)
    n, c = 25, 5
    logits = floats(rng.normal(0, 4, (n, c)))
    y = rng.integers(0, c, n)
    p = softmax(logits, 1)
    onehot = np.eye(c)[y]
    return {
        "logits": logits.tolist(),
        "labels": y.tolist(),
        "loss": [float(log_loss([y[i]], p[i : i + 1], labels=range(c))) for i in range(n)],
        "margin": [float(logits[i, y[i]] - np.delete(logits[i], y[i]).max()) for i in range(n)],
        "el2n": np.linalg.norm(p - onehot, axis=1).tolist(),
        "correct": (logits.argmax(1) == y).tolist(),
    }


if __name__ == "__main__":
    content = {
        "versions": {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
        "masks": masks(),
        "classes": classes(),
    }
    for part in ("masks", "classes"):
        assert len(set(content[part]["correct"])) == 2
    (HERE / "dynamics.json").write_text(json.dumps(content) + "\n")
