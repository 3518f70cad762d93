#!/usr/bin/env python3
"""How many images a second one, two and four trainings make together, each a process of its own: `htl bench train-step` of one case,
started at one time; the same once more under NVIDIA's MPS, where its daemon can be started.

All processes of a row train for the same number of steps. Images a second are those of all processes at their median step, so
that starting and trying out algorithms do not count: there have to be steps enough for that to be little of the time. The JSON is written after
each row.
"""
import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time

COUNTS = [1, 2, 4]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--htl", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--case", required=True, metavar="WIDTH:NUMBERS")
    for name in ("batch", "size", "steps"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--table", required=True, help="a Markdown table of the same")
    return parser.parse_args()


def together(a, count, environment, seconds):
    """A row: `count` processes at one time, or why there is none."""
    width, numbers = a.case.split(":")
    line = [a.htl, "--device", a.device, "bench", "train-step", "--width", width, "--dtype", numbers]
    line += ["--batch", str(a.batch), "--size", str(a.size), "--steps", str(a.steps)]
    started = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
               for _ in range(count)]
    end = time.monotonic() + seconds
    printed, why = [], None
    for process in started:
        try:
            out, err = process.communicate(timeout=max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            why = "out of time"
            continue
        if process.returncode != 0:
            why = f"ended with {process.returncode}: {err.strip()[-400:]}"
            continue
        try:
            printed.append(json.loads(out.splitlines()[-1]))
        except (IndexError, ValueError):
            why = f"printed {out[-200:]!r}"
    if why:
        return None, why
    steps = [row["ms_per_step"] for row in printed]
    return {"processes": count, "ms_per_step": steps, "images_per_second": sum(a.batch / ms * 1e3 for ms in steps)}, None


class Mps:
    """NVIDIA's MPS in folders of its own, where its daemon can be started."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="mps-")
        self.environment = os.environ | {"CUDA_MPS_PIPE_DIRECTORY": self.folder, "CUDA_MPS_LOG_DIRECTORY": self.folder}
        self.control = shutil.which("nvidia-cuda-mps-control")
        self.runs = False
        if self.control:
            self.runs = self.call("-d")
        return self

    def call(self, *words, told=None):
        """Whether the control program does that. The daemon keeps what it is given for output, so that is nothing."""
        nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            done = subprocess.run([self.control, *words], input=told, text=True, env=self.environment, timeout=10, **nothing)
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def __exit__(self, *_):
        if self.runs:
            self.call(told="quit\n")
        shutil.rmtree(self.folder, ignore_errors=True)


def table(a, report):
    lines = ["", f"Trainings at one time, reference U-Net of width {a.case.split(':')[0]} in {a.case.split(':')[1]}, {a.batch} images of"
             f" {a.size} x {a.size} each, {a.device}:", "", "| processes | under MPS | ms per step, each | images/s in all | of one |",
             "| --- | --- | --- | --- | --- |"]
    alone = next((row["images_per_second"] for row in report["rows"] if row["processes"] == 1), None)
    for row in report["rows"]:
        times = sorted(row["ms_per_step"])
        factor = f"{row['images_per_second'] / alone:.2f}" if alone else "-"
        lines.append(f"| {row['processes']} | {'yes' if row['mps'] else 'no'} | {times[0]:.2f} to {times[-1]:.2f} |"
                     f" {row['images_per_second']:.0f} | {factor} |")
    return "\n".join(lines + [""] + [f"- {note}" for note in report["notes"]]) + "\n"


def written(a, report):
    for path, text in ((a.out, json.dumps(report, indent=1) + "\n"), (a.table, table(a, report))):
        with open(path + ".part", "w") as file:
            file.write(text)
        os.replace(path + ".part", path)


def main():
    a = arguments()
    end = time.monotonic() + a.seconds
    report = {"device": a.device, "case": a.case, "batch": a.batch, "size": a.size, "steps": a.steps, "rows": [], "notes": []}

    def measure(counts, mps, environment):
        for count in counts:
            left = end - time.monotonic()
            row, why = together(a, count, environment, left) if left > 1 else (None, "no time left")
            if why:
                report["notes"].append(f"{count} processes{' under MPS' if mps else ''}: {why}")
            else:
                report["rows"].append({"mps": mps, **row})
            written(a, report)

    measure(COUNTS, False, dict(os.environ))
    if a.device == "cpu":
        report["notes"].append("skipped on cpu: MPS")
    else:
        with Mps() as mps:
            if mps.runs:
                # One process has nobody to share with.
                measure(COUNTS[1:], True, mps.environment)
            else:
                report["notes"].append("no MPS here")
    written(a, report)
    print(table(a, report), end="")
    raise SystemExit(0 if report["rows"] else 1)


if __name__ == "__main__":
    main()
