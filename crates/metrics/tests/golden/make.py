"""Writes the golden files of this folder with the peers whose behaviour the crate matches.

    pip install isic-challenge-scoring==5.6.0 scikit-image==0.26.0 scikit-learn==1.9.1 scipy==1.17.1 \
        torch==2.15.0 torchmetrics==1.9.0 fairlearn==0.15.0 opencv-python-headless==5.0.0.93
    python make.py

Every file names the versions it was made with. Inputs are random but seeded, and stored beside the outputs.
"""

import json
import pathlib
import tempfile
from importlib.metadata import version

import cv2
import numpy as np
import pandas as pd
import scipy.ndimage
import scipy.stats
import sklearn.metrics
import skimage.filters
import skimage.measure
import torch
import torchmetrics
from fairlearn.metrics import MetricFrame
from isic_challenge_scoring import metrics as isic
from isic_challenge_scoring.confusion import create_binary_confusion_matrix
from isic_challenge_scoring.segmentation import SegmentationScore
from PIL import Image

HERE = pathlib.Path(__file__).parent


def write(name, peers, **content):
    content = {"made_with": {peer: version(peer) for peer in peers}, **content}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    (HERE / f"{name}.json").write_text(text.replace(',"', ',\n"') + "\n")


def smooth(rng, height, width, sigma):
    field = scipy.ndimage.gaussian_filter(rng.standard_normal((height, width)), sigma)
    return (field - field.min()) / (field.max() - field.min())


def blob(rng, height, width, level=0.6, sigma=2.0):
    return (smooth(rng, height, width, sigma) > level).astype(np.uint8)


def rows(mask):
    return ["".join("#" if p else "." for p in row) for row in mask]


def short(values):
    """float32 values with few decimals, so that both sides read the same numbers."""
    return np.round(np.asarray(values, np.float64), 4).astype(np.float32)


def numbers(values):
    return [float(str(v)) for v in np.asarray(values, np.float32).ravel()]


def make_isic():
    rng = np.random.default_rng(1)
    pairs = []
    for i in range(24):
        truth = (blob(rng, 9, 11) * 255).astype(np.uint8)
        prediction = np.clip(truth * 0.6 + rng.integers(0, 130, truth.shape), 0, 255).astype(np.uint8)
        if i == 0:
            truth[:], prediction[:] = 0, 128  # both empty: 128 is not above 128
        if i == 1:
            truth[:], prediction[:] = 0, 129
        if i == 2:
            truth[:], prediction[:] = 255, 255
        if i == 3:
            truth[:], prediction[:] = 255, 0
        if i == 4:
            prediction = truth.copy()
        if i == 5:
            prediction[:] = 0
        if i > 16:  # close to the truth, so that the threshold of 0.65 is met from both sides
            prediction = np.where(rng.random(truth.shape) < 0.02 * (i - 15), 255 - truth, truth).astype(np.uint8)
        pairs.append((f"ISIC_{i:07d}", truth, prediction))
    images = []
    with tempfile.TemporaryDirectory() as folder:
        truths, predictions = pathlib.Path(folder, "t"), pathlib.Path(folder, "p")
        truths.mkdir()
        predictions.mkdir()
        for name, truth, prediction in pairs:
            Image.fromarray(truth).save(truths / f"{name}_segmentation.png")
            Image.fromarray(prediction).save(predictions / f"{name}.png")
            cm = create_binary_confusion_matrix(truth > 128, prediction > 128)
            images.append(
                {
                    "image_id": name,
                    "truth": truth.tobytes().hex(),
                    "prediction": prediction.tobytes().hex(),
                    "accuracy": float(isic.binary_accuracy(cm)),
                    "sensitivity": float(isic.binary_sensitivity(cm)),
                    "specificity": float(isic.binary_specificity(cm)),
                    "jaccard": float(isic.binary_jaccard(cm)),
                    "threshold_jaccard": float(isic.binary_threshold_jaccard(cm)),
                    "dice": float(isic.binary_dice(cm)),
                }
            )
        score = SegmentationScore.from_dir(truths, predictions)
    mean = {k: float(v) for k, v in score.macro_average.items()}
    all_truth = np.concatenate([t.ravel() > 128 for _, t, _ in pairs]).astype(int)
    all_prediction = np.concatenate([p.ravel() > 128 for _, _, p in pairs]).astype(int)
    pooled = {
        "jaccard": float(sklearn.metrics.jaccard_score(all_truth, all_prediction)),
        "dice": float(sklearn.metrics.f1_score(all_truth, all_prediction)),
    }
    write(
        "isic", ["isic-challenge-scoring", "scikit-learn"], height=9, width=11, mean=mean, pooled=pooled, images=images
    )


def outline_distances(a, b):
    structure = scipy.ndimage.generate_binary_structure(2, 1)
    edge_a = a.astype(bool) ^ scipy.ndimage.binary_erosion(a, structure)
    edge_b = b.astype(bool) ^ scipy.ndimage.binary_erosion(b, structure)
    to_b = scipy.ndimage.distance_transform_edt(~edge_b)[edge_a]
    to_a = scipy.ndimage.distance_transform_edt(~edge_a)[edge_b]
    return np.concatenate([to_b, to_a])


def make_boundary():
    rng = np.random.default_rng(2)
    cases = []
    while len(cases) < 12:
        height, width = int(rng.integers(12, 26)), int(rng.integers(12, 26))
        a, b = blob(rng, height, width, 0.55), blob(rng, height, width, 0.65)
        distances = outline_distances(a, b)
        mean, hd95 = float(distances.mean()), float(np.percentile(distances, 95))
        cases.append({"a": rows(a), "b": rows(b), "mean": mean, "hd95": hd95})
    write("boundary", ["scipy", "numpy"], cases=cases)


def make_components():
    rng = np.random.default_rng(3)
    cases = []
    for i in range(20):
        mask = (rng.random((14, 17)) < (0.15 + 0.02 * i)).astype(np.uint8)
        regions = skimage.measure.regionprops(skimage.measure.label(mask, connectivity=2))
        largest = max(regions, key=lambda r: r.area)  # the first of equals, in reading order
        cases.append({"mask": rows(mask), "area": int(largest.area), "box": [int(v) for v in largest.bbox]})
    write("components", ["scikit-image"], cases=cases)


def make_resize():
    rng = np.random.default_rng(4)
    cases = []
    for source, target in [((7, 5), (14, 10)), ((6, 8), (9, 5)), ((1, 4), (3, 9)), ((16, 16), (5, 7)), ((3, 3), (1, 1)), ((12, 10), (13, 31))]:
        values = short(rng.random(source))
        out = torch.nn.functional.interpolate(
            torch.from_numpy(values)[None, None], size=target, mode="bilinear", align_corners=False
        )
        cases.append({"from": source, "to": target, "map": numbers(values), "resized": numbers(out.numpy())})
    write("resize", ["torch"], cases=cases)


def make_otsu():
    rng = np.random.default_rng(5)
    cases = []
    for i in range(12):
        values = smooth(rng, 12, 15, 1.0 + 0.2 * i) * 0.5 + 0.3 * blob(rng, 12, 15) + 0.01 * i
        if i == 10:
            values = np.full((2, 3), 0.25)
        if i == 11:
            values = np.array([[0.1, 0.1, 0.2, 0.9]])
        values = short(values)
        cases.append({"values": numbers(values), "threshold": float(skimage.filters.threshold_otsu(values.astype(np.float64)))})
    write("otsu", ["scikit-image"], cases=cases)


def make_calibration():
    rng = np.random.default_rng(6)
    cases = []
    for power in [0.5, 1.0, 2.0]:
        p = short(rng.random((20, 20)))
        p[np.isclose((p.astype(np.float64) * 15) % 1, 0, atol=1e-4)] += np.float32(0.003)  # stay off the bin edges
        p[0, 0], p[0, 1] = 0, 1
        truth = (rng.random(p.shape) < p**power).astype(np.uint8)
        ece = torchmetrics.classification.BinaryCalibrationError(n_bins=15, norm="l1")
        cases.append(
            {
                "probabilities": numbers(p),
                "truth": rows(truth),
                "expected_error": float(ece(torch.from_numpy(p).double().ravel(), torch.from_numpy(truth).ravel())),
                "brier": float(sklearn.metrics.brier_score_loss(truth.ravel(), p.ravel().astype(np.float64))),
            }
        )
    write("calibration", ["torchmetrics", "torch", "scikit-learn"], cases=cases)


# Weak localization, written from the definition in the documentation of BoxAccuracy with OpenCV's contours.


def contour_boxes(scoremap, fraction, every_contour):
    grey = (scoremap * 255).astype(np.uint8)
    _, cut = cv2.threshold(grey, int(fraction * grey.max()), 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(cut, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if len(contours) > 0 and not every_contour:
        contours = [max(contours, key=cv2.contourArea)]
    return [tuple(int(v) for v in cv2.boundingRect(c)) for c in contours]


def proposals(scoremap, fraction, every_contour):
    height, width = scoremap.shape
    boxes = contour_boxes(scoremap, fraction, every_contour) or [(0, 0, 0, 0)]
    return [(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in boxes]


def corner_iou(a, b):
    size = lambda box: (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    w, h = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(w, 0) * max(h, 0)
    return shared / (size(a) + size(b) - shared)


def make_wsol():
    rng = np.random.default_rng(7)
    thresholds = np.arange(0, 1, 0.001)
    images, best = [], {False: [], True: []}
    lesion_scores, background_scores = [], []
    for i in range(14):
        height, width = 18 + i % 3, 21 - i % 2
        raw = smooth(rng, height, width, [0.0, 0.6, 1.0, 2.0][i % 4]) if i != 5 else np.full((height, width), 0.3)
        raw = short(raw * 3 - 1)
        spread = np.float32(raw.max() - raw.min())
        scoremap = (raw - raw.min()) / spread if spread > 0 else np.zeros_like(raw)
        scoremap = scoremap.astype(np.float32).astype(np.float64)
        truth = blob(rng, height, width, 0.7 - 0.02 * i) if i % 2 else (smooth(rng, height, width, 1.0) + scoremap > 1.2).astype(np.uint8)
        y, x = np.nonzero(truth)
        top, left, bottom, right = (int(v) for v in (y.min(), x.min(), y.max() + 1, x.max() + 1))
        true_corners = (left, top, min(right, width - 1), min(bottom, height - 1))
        for every in best:
            iou = [max(corner_iou(b, true_corners) for b in proposals(scoremap, t, every)) for t in thresholds]
            best[every].append(iou)
        lesion_scores.append(scoremap[truth == 1])
        background_scores.append(scoremap[truth == 0])
        images.append({"height": height, "width": width, "raw": numbers(raw), "truth": rows(truth), "box": [top, left, bottom, right]})
        cuts = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999]
        half_open = lambda boxes: sorted([y, x, y + h, x + w] for x, y, w, h in boxes)
        images[-1]["cuts"] = cuts
        images[-1]["largest"] = [half_open(contour_boxes(scoremap, t, False)) for t in cuts]
        images[-1]["all"] = [half_open(contour_boxes(scoremap, t, True)) for t in cuts]
    accuracy = {
        every: [float((np.array(iou) >= level).mean(axis=0).max()) for level in (0.3, 0.5, 0.7)]
        for every, iou in best.items()
    }
    edges = np.append(thresholds, [1.0, 2.0, 3.0])
    hits = np.histogram(np.concatenate(lesion_scores), edges)[0][::-1].cumsum()
    wrong = np.histogram(np.concatenate(background_scores), edges)[0][::-1].cumsum()
    called = hits + wrong
    precision = np.divide(hits, called, out=np.zeros(len(hits)), where=called > 0)
    px_ap = float((precision[1:] * np.diff(hits / hits[-1])).sum())
    write(
        "wsol", ["opencv-python-headless", "numpy"],
        largest_contour=accuracy[False], all_contours=accuracy[True], px_ap=px_ap, images=images,
    )


def make_fairlearn():
    rng = np.random.default_rng(8)
    cases = []
    for lift in (-0.3, 0.0, 0.3):  # the small group is the worst, ordinary, the best
        values = 0.3 + 0.4 * rng.random(60)
        levels = rng.choice(["female", "male", "other"], 60, p=[0.5, 0.4, 0.1])
        values = np.round(values + lift * (levels == "other"), 4)
        frame = MetricFrame(
            metrics=lambda y_true, y_pred: float(np.mean(y_pred)),
            y_true=values, y_pred=values, sensitive_features=pd.Series(levels, name="sex"),
        )
        cases.append(
            {
                "values": values.tolist(), "levels": levels.tolist(), "overall": float(frame.overall),
                "by_group": {k: float(v) for k, v in frame.by_group.items()},
                "difference": {m: float(frame.difference(method=m)) for m in ("between_groups", "to_overall")},
                "ratio": {m: float(frame.ratio(method=m)) for m in ("between_groups", "to_overall")},
            }
        )
    write("fairlearn", ["fairlearn"], cases=cases)


def make_statistics():
    rng = np.random.default_rng(9)
    seeds, images = 6, 40
    difference = 0.02 + 0.01 * rng.standard_normal((seeds, 1)) + 0.05 * rng.standard_normal((1, images))
    difference = np.round(difference + 0.03 * rng.standard_normal((seeds, images)), 5)
    control = np.round(rng.random((seeds, images)), 5)
    method = np.round(control + difference, 5)
    draws = 200_000
    means = np.empty(draws)
    for i in range(draws):
        s, j = rng.integers(0, seeds, seeds), rng.integers(0, images, images)
        means[i] = (method - control)[s][:, j].mean()
    quantiles = [
        {"degrees": d, "tail": q, "t": float(scipy.stats.t.ppf(1 - q, d))} for d in (1, 2, 4, 9, 99) for q in (0.1, 0.025, 0.01, 0.001)
    ]
    write(
        "statistics", ["numpy", "scipy"],
        method=method.tolist(), control=control.tolist(), mean=float((method - control).mean()),
        ci95=[float(v) for v in np.percentile(means, [2.5, 97.5])], quantiles=quantiles,
    )


if __name__ == "__main__":
    for make in [make_isic, make_boundary, make_components, make_resize, make_otsu, make_calibration, make_wsol, make_fairlearn, make_statistics]:
        make()
        print(make.__name__)
