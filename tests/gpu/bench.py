#!/usr/bin/env python3
"""Times a training step of U-Nets, `htl bench train-step` and PyTorch's twins (`unet.py`, `segmentation_models.py`) in turn, as long
as time allows.

Every measurement is a process of its own. Round by round each case (a network and the numbers computed in) is measured with
htl and with PyTorch's eager modes; after the first round come steps fed by the batch pipeline and a step's operations one by
one (both by htl-bench), in the numbers named last, and PyTorch's compiled modes. The JSON is written after each measurement.
"""
import argparse
import collections
import json
import os
import subprocess
import sys
import time
from statistics import median

LAYOUTS = ["default", "channels_last"]
# What htl-bench is asked once besides the step's time.
EXTRA = {"fed": "--end-to-end", "parts": "--by-operation"}
# Seconds a process takes if none of its kind was seen yet.
GUESS = {"htl": 10, "fed": 15, "parts": 30, "eager": 25, "default": 75, "reduce-overhead": 75}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--htl", required=True)
    parser.add_argument("--bench", required=True, help="the program htl-bench")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--peers", required=True, help="the folder of the twins")
    parser.add_argument("--cases", nargs="+", required=True, metavar="NETWORK:NUMBERS",
                        help="the width of the reference U-Net, or an encoder by htl's name under a decoder of width 16")
    for name in ("batch", "size", "steps", "rounds"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--table", required=True, help="a Markdown table of the same")
    return parser.parse_args()


def jobs(cases, rounds, peer):
    """What to measure in which order: case, round and kind."""
    order = []
    for number in range(1, rounds + 1):
        for case in cases:
            order += [(case, number, "htl")] + [(case, number, "eager")] * peer
        if number == 1:
            order += [(case, number, kind) for kind in ("fed", "parts") for case in cases
                      if case[1] == cases[-1][1] and case[0].isdigit()]
        # What compiles takes longest, and counts most where a GPU waits least.
        compiled = {1: ["default"], 2: ["default", "reduce-overhead"]}.get(number, [])
        for kind in compiled * peer:
            for case in reversed(cases):
                order += [(case, number, "htl"), (case, number, kind)]
    return order


def command(a, case, kind):
    network, numbers = case
    plain = network.isdigit()
    encoder = [] if plain else ["--encoder", network]
    sizes = ["--batch", a.batch, "--size", a.size, "--width", network if plain else 16, "--steps", a.steps, "--dtype", numbers]
    if kind == "htl":
        line = [a.htl, "--device", a.device, "bench", "train-step", *encoder, *sizes]
    elif kind in EXTRA:
        line = [a.bench, "--device", a.device, "train-step", *sizes, EXTRA[kind]]
    else:
        twin = "unet.py" if plain else "segmentation_models.py"
        line = [sys.executable, os.path.join(a.peers, twin), "--device", a.device, *encoder, *sizes]
        # Compiled code is fastest with channels last, as tensor cores want them.
        layouts = LAYOUTS if kind == "eager" else ["channels_last"]
        line += [word for layout in layouts for word in ("--layout", layout)]
        line += [] if kind == "eager" else ["--compile", kind]
    return [str(word) for word in line]


def measured(line, seconds):
    """What a process printed, a JSON object per line; or why there is nothing."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)[-400:]
    if done.returncode != 0:
        return [], f"ended with {done.returncode}: {done.stderr.strip()[-400:]}"
    return [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")], None


def who(row):
    """A contestant's name."""
    if row["kind"] == "htl":
        return "htl"
    compiled = row["printed"].get("compile")
    return f"{row['printed']['layout']}, " + (f"compiled ({compiled})" if compiled else "eager")


def summary(case, rows):
    """Medians over rounds, and PyTorch's time and memory as multiples of htl's."""
    times, memory, rounds = (collections.defaultdict(list) for _ in range(3))
    for row in rows:
        times[who(row)].append(row["printed"]["ms_per_step"])
        memory[who(row)].append(row["printed"].get("peak_bytes"))
        rounds[who(row), row["round"]].append(row["printed"]["ms_per_step"])
    middle = {name: median(values) for name, values in times.items()}
    peers = sorted((name for name in middle if name != "htl"), key=middle.get)
    found = {"network": case[0], "dtype": case[1], "ms_per_step": middle, "measurements": {n: len(v) for n, v in times.items()}}
    found["peak_bytes"] = {name: median(v) if None not in v else None for name, v in memory.items()}
    if "htl" in middle and peers:
        fastest = peers[0]
        eager = [name for name in peers if name.endswith("eager")]
        pairs = [median(rounds[fastest, n]) / median(rounds["htl", n]) for who, n in rounds if who == fastest and ("htl", n) in rounds]
        found |= {"fastest_peer": fastest, "ratio": middle[fastest] / middle["htl"], "ratio_rounds": [min(pairs), max(pairs)]}
        found["ratio_eager"] = middle[eager[0]] / middle["htl"] if eager else None
        ours, theirs = found["peak_bytes"]["htl"], found["peak_bytes"][fastest]
        found["memory_ratio"] = theirs / ours if ours and theirs else None
    return found


def table(a, report):
    def number(value, form):
        return "-" if value is None else format(value, form)

    lines = [
        "",
        f"U-Nets (a number: the reference, of that width), {a.batch} images of {a.size} x {a.size}, {a.device}; median ms per step; a ratio is PyTorch's fastest over htl's,"
        " its range over rounds behind it.",
        "",
        "| network | numbers | htl | images/s | PyTorch eager | compiled | ratio | fastest mode | htl GiB | PyTorch GiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in report["cases"]:
        ms, memory = row["ms_per_step"], row["peak_bytes"]
        least = lambda part: min((value for name, value in ms.items() if part in name), default=None)
        ours = ms.get("htl")
        ratio = "-"
        if "ratio" in row:
            ratio = f"{row['ratio']:.2f} ({row['ratio_rounds'][0]:.2f} to {row['ratio_rounds'][1]:.2f})"
        gib = [memory.get(name) and memory[name] / 2**30 for name in ("htl", row.get("fastest_peer"))]
        cells = [row["network"], row["dtype"], number(ours, ".2f"), number(ours and a.batch / ours * 1e3, ".0f")]
        cells += [number(least("eager"), ".2f"), number(least("compiled"), ".2f"), ratio, row.get("fastest_peer", "-")]
        cells += [number(value, ".2f") for value in gib]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    for fed in report["fed"]:
        lines += ["", f"Fed by its batch pipeline, width {fed['case'][0]} in {fed['case'][1]}: {fed['ms_per_step']:.2f} ms, "
                  f"{fed['over_step_alone']:.2f} times the step alone."]
    for part in report["operations"]:
        lines += parts(part)
    lines += [""] + [f"- {note}" for note in report["notes"]]
    return "\n".join(lines) + "\n"


def parts(found):
    """A table of the operations of a step."""
    total = [found["ms"], found["floor_ms"]]
    lines = [
        "",
        f"Operations of the step at width {found['case'][0]} in {found['case'][1]}, each alone: ms, and the least that"
        f" {found['copy_gbs']:.0f} GB/s and {found['product_gflops'] / 1e3:.1f} TFLOP/s allow, as measured here. The whole"
        f" step: {found['ms_per_step']:.2f} ms.",
        "",
        "| operation | forward | least | backward | least | of all |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in found["operations"]:
        times = [row[name] for name in ("forward_ms", "forward_floor_ms", "backward_ms", "backward_floor_ms")]
        share = (row["forward_ms"] + row["backward_ms"]) / total[0]
        lines.append(f"| {row['name']} | " + " | ".join(f"{ms:.3f}" for ms in times) + f" | {share:.0%} |")
    lines.append(f"| sum of both passes | {total[0]:.3f} | {total[1]:.3f} | | | |")
    return lines


def main():
    a = arguments()
    end = time.monotonic() + a.seconds
    cases = [tuple(case.split(":")) for case in a.cases]
    report = {"device": a.device, "batch": a.batch, "size": a.size, "steps": a.steps, "cases": [], "fed": [], "operations": [],
              "notes": [], "rows": []}
    if a.device != "cuda" and any(numbers != "f32" for _, numbers in cases):
        cases = [case for case in cases if case[1] == "f32"]
        report["notes"].append(f"skipped on {a.device}: tf32 and bf16")
    peer = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True).returncode == 0
    if not peer:
        report["notes"].append("skipped: no PyTorch here, so htl stands alone")
    if peer and a.device == "cpu":
        # Its modes on a CPU are many: `cargo xtask bench` is for them.
        peer = False
        report["notes"].append("skipped: PyTorch on the CPU is for `cargo xtask bench`")
    took, broken, left_out = dict(GUESS), set(), collections.Counter()
    for case, number, kind in jobs(cases, a.rounds, peer):
        if (case, kind) in broken:
            continue
        left = end - time.monotonic()
        if left < took[kind]:
            left_out[kind] += 1
            continue
        start = time.monotonic()
        printed, why = measured(command(a, case, kind), left)
        took[kind] = time.monotonic() - start
        if why:
            broken.add((case, kind))
            report["notes"].append(f"FAILED: {kind}, {case[0]}, {case[1]}: {why}")
        for one in printed:
            if kind == "fed":
                report["fed"].append({"case": case, **one["end_to_end"]})
                continue
            if kind == "parts":
                report["operations"].append({"case": case, "ms_per_step": one["ms_per_step"], **one["by_operation"]})
                continue
            report["rows"].append({"case": case, "kind": kind, "round": number, "printed": one})
        mine = [(case, [row for row in report["rows"] if row["case"] == case]) for case in cases]
        report["cases"] = [summary(case, rows) for case, rows in mine if rows]
        written(a, report)
    report["notes"] += [f"left out for want of time: {count} processes of {kind}" for kind, count in left_out.items()]
    written(a, report)
    print(table(a, report), end="")
    # Without a number of ours for every case there is no result.
    sys.exit(0 if len(report["cases"]) == len(cases) and all("htl" in c["ms_per_step"] for c in report["cases"]) else 1)


def written(a, report):
    for path, text in ((a.out, json.dumps(report, indent=1) + "\n"), (a.table, table(a, report))):
        with open(path + ".part", "w") as file:
            file.write(text)
        os.replace(path + ".part", path)


if __name__ == "__main__":
    main()
