"""Writes risk_coverage.json: risk-coverage curves by numpy and scikit-learn, written from the definitions.

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python risk_coverage.py

Equal uncertainties are put in every order there is, and the results averaged. Inputs are random but seeded, and stored
beside the outputs.
"""

import itertools
import json
import pathlib
from importlib.metadata import version

import numpy as np
from sklearn.metrics import auc

HERE = pathlib.Path(__file__).parent


def curve(risk_by_rising_uncertainty):
    return np.cumsum(risk_by_rising_uncertainty) / np.arange(1, len(risk_by_rising_uncertainty) + 1)


def orders(uncertainty):
    """Every order of the images that rises in uncertainty."""
    levels = [np.flatnonzero(uncertainty == level) for level in np.unique(uncertainty)]
    for parts in itertools.product(*(itertools.permutations(level) for level in levels)):
        yield np.concatenate([np.array(part) for part in parts])


def case(uncertainty, risk):
    curves, referred = [], []
    for order in orders(uncertainty):
        curves.append(curve(risk[order]))
        referred.append(np.isin(np.arange(len(risk)), order[-3:]))
    risks = np.mean(curves, axis=0)
    coverage = np.arange(1, len(risk) + 1) / len(risk)
    oracle = curve(np.sort(risk))
    return {
        "uncertainty": uncertainty.tolist(), "risk": risk.tolist(), "coverage": coverage.tolist(), "risks": risks.tolist(),
        "aurc": float(risks.mean()), "excess": float(risks.mean() - oracle.mean()),
        "augrc": float((risks * coverage).mean()), "trapezoids": float(auc(coverage, risks)), "chances_of_three": np.mean(referred, axis=0).tolist(),
        "without_a_fifth": float(risks[len(risk) - round(0.2 * len(risk)) - 1]),
    }


def interval(rng):
    """The paired bootstrap of the difference of two scores over three networks, images drawn by cluster."""
    images, networks, draws = 60, 3, 20_000
    clusters = np.sort(rng.integers(0, 45, images))
    risk = np.round(rng.random((networks, images)), 4)
    scores = [np.round(risk + width * rng.standard_normal((networks, images)), 4) for width in (0.2, 0.6)]
    members = [np.flatnonzero(clusters == cluster) for cluster in np.unique(clusters)]

    def areas(chosen):
        return np.mean([
            curve(r[chosen][np.argsort(a[chosen], kind="stable")]).mean() - curve(r[chosen][np.argsort(b[chosen], kind="stable")]).mean()
            for r, a, b in zip(risk, *scores)
        ])

    found = [areas(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])) for _ in range(draws)]
    return {
        "clusters": clusters.tolist(), "risk": risk.tolist(), "method": scores[0].tolist(), "control": scores[1].tolist(),
        "difference": float(areas(np.arange(images))), "ci95": [float(v) for v in np.percentile(found, [2.5, 97.5])],
    }


def main():
    rng = np.random.default_rng(10)
    cases = [case(rng.permutation(n) / 7.0, np.round(rng.random(n), 4)) for n in (5, 12, 40, 97)]
    for n, levels in ((6, 2), (7, 3), (8, 4), (6, 1)):
        cases.append(case(rng.integers(0, levels, n).astype(float), np.round(rng.random(n), 4)))
    peers = {peer: version(peer) for peer in ("numpy", "scikit-learn")}
    content = {"made_with": peers, "cases": cases, "interval": interval(rng)}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    (HERE / "risk_coverage.json").write_text(text.replace(',"', ',\n"') + "\n")


if __name__ == "__main__":
    main()
