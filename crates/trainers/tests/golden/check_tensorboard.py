"""Compares what TensorBoard reads from a folder of event files with the history of the training that wrote them.

Run: python check_tensorboard.py EVENTS_FOLDER HISTORY_CSV   (pip install tensorboard)
"""

import csv
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SERIES = {"train/loss": "train_loss", "train/learning_rate": "learning_rate"}


def f32(value):
    return struct.unpack("f", struct.pack("f", float(value)))[0]


def main(folder, history):
    read = EventAccumulator(folder, size_guidance={"scalars": 0}).Reload()
    rows = list(csv.DictReader(open(history)))
    for tag in read.Tags()["scalars"]:
        column = SERIES.get(tag, "val_quality")
        wanted = [(int(row["step"]), f32(row[column])) for row in rows if row[column]]
        found = [(event.step, event.value) for event in read.Scalars(tag)]
        if found != wanted:
            raise SystemExit(f"{tag}: TensorBoard reads {found}, the history has {wanted}")
        print(f"{tag}: {len(found)} values as in {column}")
    missing = SERIES.keys() - set(read.Tags()["scalars"])
    if missing:
        raise SystemExit(f"nothing in {sorted(missing)}")


main(*sys.argv[1:])
