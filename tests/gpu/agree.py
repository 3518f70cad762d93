#!/usr/bin/env python3
"""The commands of htl on a device against the CPU: a short training from one seed, and one network's predictions.

Fails when a difference is larger than what stands here; writes all of them as JSON, those it has if its time runs out.
"""
import argparse
import csv
import json
import os
import shutil
import subprocess
import sys

# Largest difference of a training's loss relative to the CPU's, and of its validation quality, by the numbers computed in.
# Roundings grow from step to step; a wrong gradient shows at once.
TRAINING = {"f32": (0.01, 0.03), "tf32": (0.03, 0.06), "bf16": (0.08, 0.1)}
# Of one network's predictions, f32 on both: pixels at one half fall on either side.
LEAST_OVERLAP, MOST_JACCARD_OFF = 0.98, 0.01
IMAGES = 24
CONFIG = """setting = "supervised"
data = '{data}'
seed = 1
size = 64
width = 8
batch = 16
image_steps = 960
learning_rate = 2e-3
validate_every = 1
precision = "{precision}"
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--htl", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def htl(a, device, *words):
    """Runs a command and gives what it printed."""
    line = [a.htl, "--device", device, *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(line)}` ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def train(a, name, device, precision):
    folder = os.path.join(a.work, name)
    os.makedirs(folder)
    config = os.path.join(folder, "training.toml")
    with open(config, "w") as file:
        file.write(CONFIG.format(data=os.path.abspath(a.data), precision=precision))
    htl(a, device, "train", "--config", config, "--out", folder)
    return table(os.path.join(folder, "history.csv"))


def compared(history, reference, precision):
    """Largest differences of a training, and what is allowed."""
    if [row["step"] for row in history] != [row["step"] for row in reference]:
        sys.exit(f"the trainings in {precision} have different steps")
    pairs = list(zip(history, reference))
    loss = max(abs(float(a["train_loss"]) / float(b["train_loss"]) - 1) for a, b in pairs)
    quality = max(abs(float(a["val_quality"]) - float(b["val_quality"])) for a, b in pairs if b["val_quality"])
    most_loss, most_quality = TRAINING[precision]
    return {
        "losses": [float(row["train_loss"]) for row in history],
        "loss_off": loss,
        "loss_allowed": most_loss,
        "quality_off": quality,
        "quality_allowed": most_quality,
        # A loss that is not a number compares false.
        "agrees": loss <= most_loss and quality <= most_quality,
    }


def predictions(a):
    """One network's maps and scores on both devices."""
    checkpoint = os.path.join(a.work, "cpu", "checkpoint.safetensors")
    ids = [row["image_id"] for row in table(os.path.join(a.data, "metadata.csv")) if row["split"] == "test"][:IMAGES]
    files = {os.path.splitext(name)[0]: name for name in os.listdir(os.path.join(a.data, "images"))}
    images = [os.path.join(a.data, "images", files[image]) for image in ids]
    masks, scores = {}, {}
    for place, device in (("host", "cpu"), ("device", a.device)):
        folder = os.path.join(a.work, f"predicted-{place}")
        htl(a, device, "predict", "--checkpoint", checkpoint, *images, "--out", folder)
        masks[place] = os.path.join(folder, "masks")
        rows = os.path.join(a.work, f"evaluated-{place}", "per_image.csv")
        htl(a, device, "evaluate", "--checkpoint", checkpoint, "--data", a.data, "--split", "test", "--out", rows)
        scores[place] = {row["image_id"]: float(row["jaccard"]) for row in table(rows)}
    overlap = json.loads(htl(a, "cpu", "score", "--truth", masks["host"], "--pred", masks["device"]))
    least = min(row["jaccard"] for row in overlap["per_image"])
    off = max(abs(scores["device"][image] - value) for image, value in scores["host"].items())
    return {
        "images_predicted": len(ids),
        "least_overlap_of_masks": least,
        "overlap_allowed": LEAST_OVERLAP,
        "images_evaluated": len(scores["host"]),
        "mean_jaccard": sum(scores["host"].values()) / len(scores["host"]),
        "jaccard_off": off,
        "jaccard_allowed": MOST_JACCARD_OFF,
        "agrees": least >= LEAST_OVERLAP and off <= MOST_JACCARD_OFF,
    }


def written(a, found):
    with open(a.out, "w") as file:
        json.dump(found, file, indent=1)


def main():
    a = arguments()
    shutil.rmtree(a.work, ignore_errors=True)
    reference = train(a, "cpu", "cpu", "f32")
    precisions = TRAINING if a.device == "cuda" else ["f32"]
    found = {"device": a.device, "cpu_losses": [float(row["train_loss"]) for row in reference], "trainings": {}}
    for precision in precisions:
        found["trainings"][precision] = compared(train(a, f"device-{precision}", a.device, precision), reference, precision)
        written(a, found)
    found["predictions"] = predictions(a)
    written(a, found)
    print(json.dumps(found, indent=1))
    wrong = [name for name, row in found["trainings"].items() if not row["agrees"]]
    wrong += ["predictions"] * (not found["predictions"]["agrees"])
    if wrong:
        sys.exit(f"the device and the CPU disagree: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
