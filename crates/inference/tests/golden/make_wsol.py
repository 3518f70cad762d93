"""Writes wsol.json: MaxBoxAccV2 and PxAP of small maps judged at the size of larger masks, on OpenCV.

    pip install opencv-python-headless==5.0.0.93 numpy==2.4.6     (versions are in the file)
    python make_wsol.py

Written from the definitions of clovaai wsolevaluation (evaluation.py): a map is resized to the image, stretched to [0, 1]
by its own minimum and maximum, cut at 1,000 shares of its maximum in 8-bit grey; the boxes of all contours are proposed
(multi_contour_eval), the best of which counts; the share of right images at the best common threshold is averaged over the
IoU levels .3, .5, .7. PxAP is the area under the precision-recall curve of all pixels at the same thresholds. (The resizing
is bilinear here, as htl's is, where the original's is bicubic.)
"""

import json
import pathlib
from importlib.metadata import version

import cv2
import numpy as np

rng = np.random.default_rng(20261127)
THRESHOLDS = np.arange(0, 1, 0.001)


def smooth(height, width, sigma):
    field = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), sigma)
    return (field - field.min()) / (field.max() - field.min())


def boxes(scoremap, share):
    grey = (scoremap * 255).astype(np.uint8)
    _, cut = cv2.threshold(grey, int(share * grey.max()), 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(cut, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    height, width = scoremap.shape
    found = [cv2.boundingRect(contour) for contour in contours] or [(0, 0, 0, 0)]
    return [(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in found]


def iou(a, b):
    area = lambda box: (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    w, h = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(w, 0) * max(h, 0)
    return shared / (area(a) + area(b) - shared)


images, best, lesion, background = [], [], [], []
for number in range(12):
    size = 8 + number % 3
    height, width = 30 + number, 41 - number
    small = np.round(0.2 + 0.6 * smooth(size, size, 1.2), 3).astype(np.float32)
    truth = (smooth(height, width, 5.0) > 0.62).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(truth, connectivity=8)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    truth = (labels == largest).astype(np.uint8)  # one lesion: its box is not in question
    resized = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    spread = resized.max() - resized.min()
    scoremap = ((resized - resized.min()) / spread).astype(np.float64)
    y, x = np.nonzero(truth)
    corners = (x.min(), y.min(), min(x.max() + 1, width - 1), min(y.max() + 1, height - 1))
    best.append([max(iou(box, corners) for box in boxes(scoremap, share)) for share in THRESHOLDS])
    lesion.append(scoremap[truth == 1])
    background.append(scoremap[truth == 0])
    images.append({
        "side": size, "map": [float(str(v)) for v in small.ravel()],
        "truth": ["".join("#" if p else "." for p in row) for row in truth],
    })
right = [float((np.array(best) >= level).mean(axis=0).max()) for level in (0.3, 0.5, 0.7)]
edges = np.append(THRESHOLDS, [1.0, 2.0, 3.0])
hits = np.histogram(np.concatenate(lesion), edges)[0][::-1].cumsum()
called = hits + np.histogram(np.concatenate(background), edges)[0][::-1].cumsum()
precision = np.divide(hits, called, out=np.zeros(len(hits)), where=called > 0)
content = {
    "made_with": {peer: version(peer) for peer in ("opencv-python-headless", "numpy")},
    "right": right, "max_box_acc_v2": float(np.mean(right)), "px_ap": float((precision[1:] * np.diff(hits / hits[-1])).sum()),
    "images": images,
}
path = pathlib.Path(__file__).parent / "wsol.json"
path.write_text(json.dumps(content, separators=(",", ":")).replace(',"', ',\n"').replace(',\n"#', ',"#').replace(',\n".', ',".') + "\n")
