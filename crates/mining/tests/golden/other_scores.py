"""Golden values for tests/other_scores.rs: mask quality by cleanlab, detection by scikit-learn, histories by numpy and scipy.

Run: pip install numpy scipy scikit-learn cleanlab; python other_scores.py   (writes other_scores.json beside itself)
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cleanlab.segmentation.rank import get_label_quality_scores
from scipy.special import log_softmax, softmax
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

HERE = Path(__file__).parent
PACKAGES = ("numpy", "scipy", "scikit-learn", "cleanlab")


def masks():
    """Consensus of three seeds, in quarters of 255 so that sums are exact in 32 bits, and the quality of its mask."""
    rng = np.random.default_rng(0)
    n, seeds, h, w = 12, 3, 5, 7
    levels = rng.integers(0, 256, (n, seeds, h, w))
    levels[0] = 0
    levels[1] = 255
    consensus = (levels / 255).mean(1)
    labels = (rng.random((n, h, w)) < consensus).astype(int)
    labels[0], labels[1] = 0, 0
    labels[2] = 1 - labels[2]
    probabilities = np.stack([1 - consensus, consensus], 1)
    quality, _ = get_label_quality_scores(labels, probabilities, method="softmin", temperature=0.1, verbose=False)
    return {
        "levels": levels.reshape(n, seeds, -1).tolist(),
        "labels": labels.reshape(n, -1).tolist(),
        "size": [h, w],
        "quality": quality.tolist(),
    }


def detections():
    rng = np.random.default_rng(1)
    for n, levels, share in ((6, 3, 0.5), (50, 5, 0.2), (300, 10**6, 0.05), (80, 2, 0.5), (40, 40, 0.9)):
        scores = rng.integers(0, levels, n) / levels
        special = rng.random(n) < share
        special[0], special[1] = True, False
        yield {
            "scores": scores.tolist(),
            "special": special.tolist(),
            "auroc": float(roc_auc_score(special, scores)),
            "average_precision": float(average_precision_score(special, scores)),
        }


def forgetting(correct):
    """Toneva et al. 2019, section 3: an event where accuracy decreases between consecutive presentations; never learned is
    infinity, which the table writes as the number of judgements."""
    if not correct.any():
        return len(correct)
    return int((np.diff(correct.astype(int)) == -1).sum())


def history():
    """Three classifiers of four classes, 15 epochs, 20 images; logits that drift toward the label, or do not."""
    rng = np.random.default_rng(2)
    runs, epochs, images, classes = 3, 15, 20, 4
    label = rng.integers(0, classes, images)
    onehot = np.eye(classes)[label]
    slope = rng.normal(0.25, 0.4, images)
    slope[:3] = -2, -2, 3
    logits = rng.normal(0, 1, (runs, epochs, images, classes))
    logits[:, 0, :3] *= 0.01
    logits += ((np.arange(epochs)[:, None] + 1) * slope)[None, :, :, None] * onehot
    probabilities = softmax(logits, -1)
    given = (probabilities * onehot).sum(-1)
    loss = -(log_softmax(logits, -1) * onehot).sum(-1)
    for i in range(images):
        peer = log_loss([label[i]], probabilities[0, 0, i : i + 1], labels=range(classes))
        assert abs(peer - loss[0, 0, i]) < 1e-12
    margin = (logits * onehot).sum(-1) - np.where(onehot == 1, -np.inf, logits).max(-1)
    el2n = np.linalg.norm(probabilities - onehot, axis=-1)
    correct = logits.argmax(-1) == label
    rows = [
        [f"i{i}", e + 1, loss[r, e, i], margin[r, e, i], el2n[r, e, i], bool(correct[r, e, i])]
        for r in range(runs)
        for e in range(epochs)
        for i in range(images)
    ]
    scores = {
        "loss": loss[:, -1].mean(0),
        # A fifth of 15 epochs: the third.
        "el2n": el2n[:, 2].mean(0),
        "forgetting_events": np.mean([[forgetting(correct[r, :, i]) for i in range(images)] for r in range(runs)], 0),
        "aum": -margin.mean((0, 1)),
        "low_confidence": 1 - given.mean((0, 1)),
        "variability": given.std(1).mean(0),
    }
    assert (scores["forgetting_events"] == epochs).any() and (scores["forgetting_events"] == 0).any()
    return {
        "runs": [rows[r * epochs * images : (r + 1) * epochs * images] for r in range(runs)],
        "scores": {name: values.tolist() for name, values in scores.items()},
    }


if __name__ == "__main__":
    content = {
        "versions": {name: version(name) for name in PACKAGES},
        "masks": masks(),
        "detections": list(detections()),
        "history": history(),
    }
    (HERE / "other_scores.json").write_text(json.dumps(content) + "\n")
