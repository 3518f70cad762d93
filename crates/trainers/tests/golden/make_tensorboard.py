"""The event file that the observer's test compares with, from TensorBoard's own protocol buffers and record writer.

Run: python make_tensorboard.py   (writes tensorboard.tfevents beside itself; pip install tensorboard==2.21.0)
"""

from pathlib import Path

import tensorboard
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

MADE_WITH = "2.21.0"
# Seconds since 1970; every event comes half a second after the one before.
FIRST = 1_700_000_000.25
# Step, loss, learning rate, and Jaccard where it was measured. Zeros are values like any other.
EPOCHS = [(25, 0.7, 1e-3, None), (50, 0.1, 4e-3, 0.8125), (300, 0.0, 0.0, 0.0)]


def events():
    yield Event(file_version="brain.Event:2")
    yield Event(step=1, session_log=SessionLog(status=SessionLog.START))
    for step, loss, rate, quality in EPOCHS:
        scalars = [("train/loss", loss), ("train/learning_rate", rate)]
        if quality is not None:
            scalars.append(("validation/jaccard", quality))
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars]
        yield Event(step=step, summary=Summary(value=values))


def main():
    if tensorboard.__version__ != MADE_WITH:
        raise SystemExit(f"tensorboard {MADE_WITH} made the file, this is {tensorboard.__version__}: change MADE_WITH too")
    with open(Path(__file__).parent / "tensorboard.tfevents", "wb") as file:
        records = RecordWriter(file)
        for i, event in enumerate(events()):
            event.wall_time = FIRST + 0.5 * i
            records.write(event.SerializeToString(deterministic=True))


main()
