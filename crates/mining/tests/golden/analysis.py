"""Golden values for tests/analysis.rs from scipy, statsmodels, firthmodels and Fairlearn, and by analysis.R from multtest,
brglm2, clubSandwich and R itself.

Run: python analysis.py   (writes analysis.json beside itself; needs Rscript with multtest, brglm2 and clubSandwich)
"""

import json
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

import fairlearn
import numpy as np
import pandas as pd
import scipy
import statsmodels
import statsmodels.api as sm
from fairlearn.metrics import MetricFrame
from firthmodels import FirthLogisticRegression
from scipy import stats
from scipy.optimize import brentq
from scipy.stats.contingency import odds_ratio
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.proportion import confint_proportions_2indep, power_proportions_2indep

HERE = Path(__file__).parent
VERSIONS = {"numpy": np.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__,
            "fairlearn": fairlearn.__version__, "firthmodels": version("firthmodels")}


def floats(values):
    return [None if v is None or not np.isfinite(v) else float(v) for v in np.ravel(values)]


def mid_interval(a, b, c, d):
    """Odds ratios at which the tails that count the observed table half hold 2.5 %."""
    n, n1, m = a + b + c + d, a + b, a + c
    def tail(log, upper):
        x = stats.nchypergeom_fisher(n, n1, m, np.exp(log))
        return (x.sf(a) if upper else x.cdf(a - 1)) + 0.5 * x.pmf(a) - 0.025
    low = 0.0 if a == max(0, n1 + m - n) else float(np.exp(brentq(tail, -12, 12, args=(True,), xtol=1e-13)))
    high = None if a == min(n1, m) else float(np.exp(brentq(tail, -12, 12, args=(False,), xtol=1e-13)))
    return [low, high]


def exact():
    rng = np.random.default_rng(10)
    tables = [[3, 17, 40, 140], [0, 12, 9, 60], [5, 5, 5, 5], [12, 1, 60, 9], [7, 193, 1, 300], [40, 60, 30, 170]]
    tables += [[int(v) for v in rng.integers(1, high, 4)] for high in (6, 30, 120) for _ in range(4)]
    for a, b, c, d in tables:
        peer = odds_ratio([[a, b], [c, d]], kind="conditional")
        ends = peer.confidence_interval(0.95)
        lower, upper = confint_proportions_2indep(a, a + b, c, c + d, method="newcomb", compare="diff")
        x = stats.hypergeom(a + b + c + d, a + b, a + c)
        mid = 2 * min(x.cdf(a - 1) + 0.5 * x.pmf(a), x.sf(a) + 0.5 * x.pmf(a))
        yield {"table": [a, b, c, d], "conditional": floats([peer.statistic, ends.low, ends.high]),
               "mid": mid_interval(a, b, c, d), "mid_p": float(min(mid, 1)),
               "difference": [a / (a + b) - c / (c + d), float(lower), float(upper)]}


def powers():
    for n1, n2, rate in ((40, 200, 0.2), (120, 120, 0.2), (20, 400, 0.05), (300, 900, 0.5), (25, 25, 0.2)):
        power = lambda diff: power_proportions_2indep(diff, rate, n1, ratio=n2 / n1).power
        found = brentq(lambda diff: power(diff) - 0.8, 1e-6, 1 - rate - 1e-6, xtol=1e-14)
        yield {"n": [n1, n2], "rate": rate, "difference": found, "power_of_tenth": float(power(0.1))}


def strata():
    rng = np.random.default_rng(11)
    for folds in (2, 3, 5):
        tables = [[int(v) for v in rng.integers(2, 40, 4)] for _ in range(folds)]
        peer = StratifiedTable([np.array(t).reshape(2, 2) for t in tables])
        yield {"tables": tables, "odds_ratio": floats([peer.oddsratio_pooled, *peer.oddsratio_pooled_confint()]),
               "p": float(peer.test_null_odds(correction=False).pvalue)}


def images():
    """Photographs with everything that is analysed; two or three of some lesions."""
    rng = np.random.default_rng(12)
    n = 420
    lesion = np.sort(rng.integers(0, 300, n))
    fold = lesion % 2
    of_lesion = lambda values, p: rng.choice(values, 300, p=p)[lesion]
    sex = of_lesion(["female", "male", ""], [0.45, 0.42, 0.13])
    age = of_lesion(["<30", "30-44", "45-59", "60-74", "75+"], [0.15, 0.25, 0.3, 0.2, 0.1])
    dx = of_lesion(["nv", "mel", "sk"], [0.6, 0.25, 0.15])
    area = np.exp(rng.normal(-2.2, 0.7, n)).clip(0.005, 0.9).round(5)
    contrast, ita = rng.gamma(6, 4, n).round(2), rng.normal(45, 15, n).round(2)
    border = (area > 0.25).astype(float) * (rng.random(n) < 0.5)
    latent = -0.7 * np.log(area) + 0.5 * (dx == "mel") + rng.normal(0, 0.5, 300)[lesion] + rng.normal(0, 1, n)
    score = np.round(1 / (1 + np.exp(-latent)), 2)
    hard = np.zeros(n, int)
    for f in (0, 1):
        inside = np.flatnonzero(fold == f)
        hard[inside[np.argsort(-score[inside], kind="stable")[: len(inside) // 5]]] = 1
    separated = np.where(dx == "sk", 0, hard)
    return pd.DataFrame(dict(lesion=lesion, fold=fold, sex=sex, age=age, dx=dx, area=area, contrast=contrast, ita=ita,
                             border=border, score=score, hard=hard, separated=separated))


def tests(table):
    """One test per attribute, over its known levels."""
    order = {"age": ["<30", "30-44", "45-59", "60-74", "75+"], "sex": ["female", "male"], "dx": ["mel", "nv", "sk"]}
    for attribute, levels in order.items():
        known = table[table[attribute] != ""]
        level = known[attribute].map(levels.index)
        square = pd.crosstab(level, known.hard).to_numpy()
        chi = stats.chi2_contingency(square, correction=False)
        h = stats.kruskal(*[known.score[level == l] for l in range(len(levels))])
        entry = {"attribute": attribute, "levels": levels, "n": len(known),
                 "chi_square": floats([chi.statistic, chi.pvalue]), "kruskal": floats([h.statistic, h.pvalue])}
        if len(levels) > 2 and attribute == "age":
            tau = stats.kendalltau(level, known.score, method="asymptotic")
            entry["jonckheere"] = floats([tau.statistic, tau.pvalue])
            entry["counts"] = [[int((level == l).sum()), int(known.hard[level == l].sum())] for l in range(len(levels))]
        yield entry


def design(table):
    """The columns of the regression: most frequent level as reference, levels in the product's order."""
    columns = {}
    for attribute, levels in (("age", ["<30", "30-44", "45-59", "60-74", "75+"]), ("sex", ["female", "male", ""]),
                              ("dx", ["mel", "nv", "sk"])):
        known = [l for l in levels if l]
        reference = max(known, key=lambda l: (table[attribute] == l).sum())
        for level in levels:
            if level != reference:
                columns[f"{attribute}={level or 'unknown'}"] = (table[attribute] == level).astype(float)
    counts = table.fold.value_counts()
    reference = 0 if counts[0] >= counts[1] else 1
    columns[f"fold={1 - reference}"] = (table.fold != reference).astype(float)
    columns["log_size"] = np.log2(table.area)
    columns["contrast"] = table.contrast / 10
    columns["skin_tone_ita"] = table.ita / 10
    columns["border"] = table.border
    return pd.DataFrame(columns)


def without(columns, attribute):
    return columns[[c for c in columns if c.split("=")[0] != attribute]]


def regression(table, columns):
    names = list(dict.fromkeys(c.split("=")[0] for c in columns))
    x = sm.add_constant(columns)
    plain = sm.Logit(table.hard, x).fit(disp=0, tol=1e-14, maxiter=200)
    ratio = {}
    for name in names:
        small = sm.Logit(table.hard, sm.add_constant(without(columns, name))).fit(disp=0, tol=1e-14, maxiter=200)
        statistic = 2 * (plain.llf - small.llf)
        df = x.shape[1] - len(small.params)
        ratio[name] = [float(statistic), float(stats.chi2.sf(statistic, df))]
    alone = {}
    fold = [c for c in columns if c.startswith("fold=")]
    for name in names:
        if name != "fold":
            full = sm.Logit(table.hard, sm.add_constant(columns[fold + [c for c in columns if c.split("=")[0] == name]])).fit(disp=0, tol=1e-14)
            small = sm.Logit(table.hard, sm.add_constant(columns[fold])).fit(disp=0, tol=1e-14)
            alone[name] = float(stats.chi2.sf(2 * (full.llf - small.llf), len(full.params) - len(small.params)))
    ranks = (stats.rankdata(table.score) - 0.5) / len(table)
    linear = sm.OLS(ranks, x).fit()
    f = {}
    for name in names:
        value, p, _ = linear.compare_f_test(sm.OLS(ranks, sm.add_constant(without(columns, name))).fit())
        f[name] = [float(value), float(p)]
    fit = lambda tolerance: FirthLogisticRegression(gtol=tolerance, xtol=tolerance, max_iter=1000).fit(
        columns.to_numpy(), table.separated.to_numpy())
    firth = fit(1e-9)
    tests = fit(1e-6).lrt()  # its restricted fits do not converge to more
    assert np.isfinite(tests.lrt_pvalues_).all()
    ends = firth.conf_int(method="pl", tol=1e-9, max_iter=1000)
    assert len(tests.lrt_pvalues_) == len(ends) == columns.shape[1] + 1  # the constant is last
    return {"names": list(columns), "coefficients": floats(plain.params), "ratio": ratio, "alone": alone, "ranks": floats(linear.params), "f": f,
            "firth": floats([firth.intercept_, *firth.coef_]), "firth_p": floats(tests.lrt_pvalues_[:-1]),
            "firth_intervals": [floats(e) for e in ends[:-1]]}


def minp():
    rng = np.random.default_rng(13)
    x = rng.normal(0, 1, (7, 9))
    x[0, 5:] += 2.5
    x[1] = x[0] + rng.normal(0, 0.3, 9)
    x[2, 5:] += 1.2
    return np.round(x, 6), np.array([0] * 5 + [1] * 4)


def groups():
    """Quality by group and by intersection, as Fairlearn has it."""
    rng = np.random.default_rng(14)
    n = 300
    sex = rng.choice(["female", "male"], n)
    age = rng.choice(["<30", "30-59", "60+"], n)
    jaccard = np.round(rng.beta(6, 2, n) - 0.1 * (age == "60+"), 4).clip(0, 1)
    mean = lambda truth, value: float(np.mean(value))
    below = lambda truth, value: float(np.mean(np.asarray(value) < 0.65))
    def frame(features, metric):
        peer = MetricFrame(metrics=metric, y_true=jaccard, y_pred=jaccard, sensitive_features=features)
        by = {", ".join(k) if isinstance(k, tuple) else k: float(v) for k, v in peer.by_group.items()}
        return {"by": by, "difference": float(peer.difference()), "ratio": float(peer.ratio())}
    both = pd.DataFrame({"sex": sex, "age": age})
    return {"sex": sex.tolist(), "age": age.tolist(), "jaccard": jaccard.tolist(),
            "frames": {f"{metric}|{name}": frame(features, of) for metric, of in (("jaccard", mean), ("below_65", below))
                       for name, features in (("sex", sex), ("age", age), ("sex x age", both))}}


def trends():
    rng = np.random.default_rng(15)
    for case in range(4):
        n = rng.integers(20, 90, 3 + case % 3)
        yield {"n": n.tolist(), "hits": [int(rng.binomial(m, 0.15 + 0.05 * i)) for i, m in enumerate(n)]}


def by_r(columns, table, x, label, trend):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.savetxt(folder / "minp.csv", x, delimiter=",")
        np.savetxt(folder / "minp-label.csv", label, fmt="%d")
        rows = [(i, n, h) for i, case in enumerate(trend) for n, h in zip(case["n"], case["hits"])]
        pd.DataFrame(rows, columns=["case", "n", "hits"]).to_csv(folder / "trend.csv", index=False)
        renamed = columns.set_axis([f"x{i}" for i in range(columns.shape[1])], axis=1)
        renamed.to_csv(folder / "design.csv", index=False, float_format="%.17g")
        np.savetxt(folder / "plain.csv", table.hard, fmt="%d")
        np.savetxt(folder / "separated.csv", table.separated, fmt="%d")
        np.savetxt(folder / "cluster.csv", table.lesion, fmt="%d")
        np.savetxt(folder / "ranks.csv", (stats.rankdata(table.score) - 0.5) / len(table), fmt="%.17g")
        named = [(c.split("=")[0], i) for i, c in enumerate(columns)]
        pd.DataFrame(named, columns=["name", "place"]).to_csv(folder / "groups.csv", index=False)
        said = subprocess.run(["Rscript", HERE / "analysis.R"], cwd=folder, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in said.splitlines():
        name, *values = line.split()
        found[name] = values if name == "versions" else [float(v) for v in values]
    return found


def main():
    table = images()
    columns = design(table)
    x, label = minp()
    trend = list(trends())
    r = by_r(columns, table, x, label, trend)
    r["wald"] = {name[5:]: r.pop(name)[0] for name in list(r) if name.startswith("wald_")}
    words = r.pop("versions")
    versions = VERSIONS | dict(zip(words[::2], words[1::2]))
    for i, case in enumerate(trend):
        case["chi_square"] = r.pop(f"trend_{i}")
    content = {"versions": versions, "exact": list(exact()), "powers": list(powers()), "strata": list(strata()),
               "images": table.to_dict(orient="list"), "tests": list(tests(table)),
               "regression": regression(table, columns), "r": r, "trends": trend,
               "minp": {"x": x.tolist(), "label": label.tolist()}, "groups": groups()}
    (HERE / "analysis.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


main()
