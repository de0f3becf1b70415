"""The main figures next to their limits, from the tables of the other scripts.

    python tools/summary.py [--out benchmarks/results]

Runs nothing; missing tables are skipped. Ratios are medians of the ratios of neighbouring measurements.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import end_to_end
import inference
import models
import startup
import steps
from harness import RESULTS, Table, ratio

Rows = list[dict[str, Any]]
Figure = tuple[str, Sequence[float], float, str]  # name, (median, lowest, highest), limit, unit
STEP = {
    "graph": "Graph",
    "pynative": "Pynative",
    "torch": "PyTorch eager",
    "mindcv graph": "MindCV's blocks, Graph",
    "mindcv pynative": "MindCV's blocks, Pynative",
}
# Ratios to show side by side: table -> title, source, and the pattern of a figure's name: (row), (column).
SIDE_BY_SIDE = {
    "highlights": ("Medians (lowest - highest), sknet50.", ("steps", "inference"), r"(.+), (\d+x\d+)(?:,b(?:8|32))?"),
    "networks": (
        "Medians (lowest - highest), Graph mode / PyTorch.",
        ("models",),
        r"(.+) / PyTorch eager, (.+), batch \d+",
    ),
}


def of_steps(rows: Rows) -> Iterator[Figure]:
    by_place = {(row["case"], row["name"]): row for row in rows}
    for upper, lower, limits in steps.TARGETS:
        what = f"training step, {STEP[upper]} / {STEP[lower]}"
        for case, limit in limits.items():
            if (case, upper) in by_place and (case, lower) in by_place:
                pair = (by_place[case, name]["seconds"] for name in (upper, lower))
                yield f"{what}, {case}", ratio(*pair), limit, ""
    peaks = {
        name: row["last"]["peak_mb"] for (case, name), row in by_place.items() if case == "224x224" and "last" in row
    }
    for name, what in {"graph": "Graph", "graph, second start": "Graph, second start", "pynative": "Pynative"}.items():
        if name in peaks and "torch" in peaks:
            yield f"peak memory of the step, {what} / PyTorch, 224x224", [peaks[name] / peaks["torch"]] * 3, 1.0, ""


def of_inference(rows: Rows) -> Iterator[Figure]:
    seconds = {(row["case"], row["name"]): row["seconds"] for row in rows}
    for name, limit in inference.TARGETS.items():
        what = {"graph": "inference", "onnx, ours": "exported ONNX in onnxruntime"}[name]
        for case in dict.fromkeys(row["case"] for row in rows):
            if (case, name) in seconds and (case, "torch") in seconds:
                yield f"{what} / PyTorch eager, {case}", ratio(seconds[case, name], seconds[case, "torch"]), limit, ""


def of_startup(rows: Rows) -> Iterator[Figure]:
    for row in rows:
        if "ratio" in row and "train-" in row["cells"][0]:
            yield f"second start / first, {row['cells'][0]}", row["ratio"], startup.TARGET, ""


def of_data_loading(rows: Rows) -> Iterator[Figure]:
    seconds = {(row["case"], row["who"]): row["seconds"] for row in rows}
    for case in dict.fromkeys(row["case"] for row in rows):
        for who, what, limit in (("torch", "torchvision's", 0.5), ("mindcv", "MindCV's", 1.0)):
            if (case, who) in seconds:
                yield f"data pipeline / {what}, {case}", ratio(seconds[case, "ours"], seconds[case, who]), limit, ""
        if (case, "ours randaug") in seconds:
            pair = ratio(seconds[case, "ours randaug"], seconds[case, "ours"])
            yield f"data pipeline with RandAugment / without, {case}", pair, 2.0, ""


def of_data_wait(rows: Rows) -> Iterator[Figure]:
    for row in rows:
        shares = [100 * share for share in row["waited"]]
        figures = statistics.median(shares), min(shares), max(shares)
        yield f"waiting for data, {row['case']}", figures, 100 * row["target"], " %"


def of_end_to_end(rows: Rows) -> Iterator[Figure]:
    seconds = {row["name"]: row["seconds"] for row in rows}
    for name, limit in end_to_end.TARGETS.items():
        if "ours" in seconds and name in seconds:
            what = f"{end_to_end.TITLES['ours']}'s train.py / {end_to_end.TITLES[name]}, {rows[0]['images']:,} images"
            yield what, ratio(seconds["ours"], seconds[name]), limit, ""


def of_models(rows: Rows) -> Iterator[Figure]:
    for row in rows:
        if "torch" in row["seconds"]:
            pair = ratio(row["seconds"]["ours"], row["seconds"]["torch"])
            yield f"{row['cells'][0]} / PyTorch eager, {row['cells'][1]}", pair, models.LIMIT, ""


SOURCES = {
    "steps": of_steps,
    "inference": of_inference,
    "startup": of_startup,
    "data_loading": of_data_loading,
    "data_wait": of_data_wait,
    "end_to_end": of_end_to_end,
    "end_to_end_50000": of_end_to_end,
    "models": of_models,
}


def summarize(out: Path) -> None:
    """Write OUT/summary.md and .json from the other tables in OUT, and the tables of SIDE_BY_SIDE."""
    summary = Table(out, "summary", "Medians (lowest - highest).", ["what", "measured", "at most", ""])
    for name, figures in SOURCES.items():
        path = out / f"{name}.json"
        if not path.exists():
            continue
        measured = json.loads(path.read_text())
        summary.smoke = summary.smoke or measured["smoke"]
        for what, (median, lowest, highest), limit, unit in figures(measured["rows"]):
            shown = f"{median:.2f}{unit} ({lowest:.2f} - {highest:.2f})"
            verdict = "met" if median <= limit else "missed"
            summary.add(what, shown, f"{limit:g}{unit}", verdict, median=median, limit=limit, source=name)
    for name, (title, sources, pattern) in SIDE_BY_SIDE.items():
        rows: dict[str, dict[str, str]] = {}
        for (what, shown, *_), raw in zip(summary.rows, summary.raw, strict=True):
            if raw["source"] in sources and (found := re.fullmatch(pattern, what)):
                rows.setdefault(found[1], {})[found[2]] = shown
        columns = dict.fromkeys(column for row in rows.values() for column in row)
        table = Table(out, name, title, ["ratio", *columns], smoke=summary.smoke)
        for what, row in rows.items():
            table.add(what, *(row.get(column, "") for column in columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder with the tables")
    summarize(parser.parse_args().out)


if __name__ == "__main__":
    main()
