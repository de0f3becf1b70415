"""Results as a table for the terminal, as Markdown and JSON, and as a row of the README."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from mindcv.benchmark.results import MODES, Results, Timing
from mindcv.benchmark.statistics import spread_of_ratio
from mindcv.files import replacing

NOT_MEASURED = "not measured"
_TITLES = {"top1": "top-1", "top5": "top-5", "mAP": "mAP"}


def as_text(results: Results) -> str:
    """The results for the terminal."""
    rows = _rows(results)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*_head(results), "", *lines, "", *_notes(results)])


def as_markdown(results: Results) -> str:
    """The results as a page."""
    head, *rows = _rows(results)
    table = [_line(head), "|---" * len(head) + "|", *map(_line, rows)]
    paragraphs = [*_head(results), "\n".join(table), *_notes(results)]
    return "\n\n".join(paragraphs) + "\n"


def write_report(folder: Path, results: Results) -> list[Path]:
    """Write FOLDER/MODEL-DEVICE.json, with every single measurement, and .md; returns both paths.

    Raises:
        OSError: if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{results.about['model']}-{results.about['device'].lower()}"
    contents = {".json": json.dumps(asdict(results), indent=1) + "\n", ".md": as_markdown(results)}
    paths = [folder / f"{stem}{suffix}" for suffix in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        with replacing(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return paths


def readme_row(results: Results, config: str) -> str:
    """The device's row of the README's table: device, data, accuracy, seconds per epoch, ms per batch.

    Args:
        config: the cell that names the recipe.
    """
    about = results.about
    data = about["data"] or "ImageNet"
    cells = [about["device"], data, *(_per_cent(results, name) for name in ("top1", "top5"))]
    for mode in reversed(MODES):
        cells.append(f"{results.epoch_seconds(mode):,.1f} s/epoch" if mode in results.ours["train"] else NOT_MEASURED)
        infer = results.ours["infer"].get(mode)
        cells.append(f"{infer.milliseconds.median:,.1f} ms" if infer else NOT_MEASURED)
    return _line([*cells, about["published"] or "none", config])


def readme_note(results: Results, command: str) -> str:
    """What the row does not say, for the list below the table."""
    about = results.about
    side, batch = about["image_resize"], about["batch_size"]
    return (
        f"{about['device']}: {about['card']}; {_versions(about['versions'])}; {results.date}. Training steps at "
        f"{side}x{side}, batch {batch}, {about['precision']}, and an epoch of {results.epoch_images:,} images computed "
        f"from them; inference of a batch of {about['val_batch_size']}. Medians of {about['num_bench_iter']}. "
        f"`{command}`"
    )


def _head(results: Results) -> list[str]:
    about, data = results.about, results.about["data"]
    lines = [
        f"{about['model']}: {about['parameters']:,} parameters, {about['multiply_adds'] / 1e9:.3f} G multiply-adds at "
        f"{about['val_image_resize']}x{about['val_image_resize']}, {about['num_classes']:,} classes",
        f"{about['device']}: {about['card']}; {_versions(about['versions'] | results.peer.get('versions', {}))}; "
        f"{results.date}",
        f"accuracy: {_accuracy(results)}",
    ]
    if data and results.data:
        waits = results.data
        lines.append(
            f"training on {data}, {waits.mode} mode: {100 * waits.share:.1f} % of the time spent waiting for data, "
            f"{waits.images_per_second:,.1f} images/s with data"
        )
    return lines


def _accuracy(results: Results) -> str:
    if not results.measures:
        return f"{NOT_MEASURED}: {results.about['why_no_accuracy'] or results.failures.get('accuracy', 'failed')}"
    return "  ".join(
        f"{title} {results.measures[key]:.2f} %" for key, title in _TITLES.items() if key in results.measures
    )


def _rows(results: Results) -> list[list[str]]:
    """The table: a line for each quantity, a column for each mode, and with a peer for timm and the ratios."""
    about, train, infer = results.about, results.ours["train"], results.ours["infer"]
    memory = "device memory" if about["device"] != "CPU" else "resident memory of the process"
    side, batch = f"{about['image_resize']}x{about['image_resize']}", about["batch_size"]
    val_side, val_batch = f"{about['val_image_resize']}x{about['val_image_resize']}", about["val_batch_size"]
    epoch = about["data"] or "ImageNet"
    of_training: list[tuple[str, Callable[[Timing], str], Callable[[Timing], Sequence[float]] | None]] = [
        (f"training step, {side}, batch {batch}, ms", lambda t: t.milliseconds.shown(1), lambda t: t.seconds),
        ("training, images/s", lambda t: f"{t.images_per_second:,.1f}", None),
        (
            f"training, epoch of {epoch}, s",
            lambda t: f"{results.epoch_images / t.images_per_second:,.1f}",
            None,
        ),
        (f"training, peak {memory}, MB", lambda t: f"{t.memory_mb:,.0f}", None),
    ]
    of_inference: list[tuple[str, Callable[[Timing], str], Callable[[Timing], Sequence[float]] | None]] = [
        (f"inference, {val_side}, batch {val_batch}, ms", lambda t: t.milliseconds.shown(1), lambda t: t.seconds),
        ("inference, images/s", lambda t: f"{t.images_per_second:,.1f}", None),
        ("inference, one image, ms", lambda t: t.image_milliseconds.shown(1), lambda t: t.image_seconds),
        (f"inference, peak {memory}, MB", lambda t: f"{t.memory_mb:,.0f}", None),
    ]
    rows = [["", *MODES, *(["timm", *(f"{mode} / timm" for mode in MODES)] if results.peer else [])]]
    for kind, lines, ours in (("train", of_training, train), ("infer", of_inference, infer)):
        peers = results.peers[kind]
        for title, show, values in lines if ours else ():
            row = [title, *(show(ours[mode]) if mode in ours else NOT_MEASURED for mode in MODES)]
            if results.peer:
                first = next(iter(peers.values()), None)
                row.append(show(first) if first else NOT_MEASURED)
                pairs = [(ours[mode], peers[mode]) if mode in peers else None for mode in MODES]
                row += [
                    spread_of_ratio(values(pair[0]), values(pair[1])).shown(2) if pair and values else ""
                    for pair in pairs
                ]
            rows.append(row)
    return rows


def _notes(results: Results) -> list[str]:
    about = results.about
    lines = [
        f"Medians of {about['num_bench_iter']} (lower - upper quartile) after {about['num_warm_iter']} that do not "
        f"count. One batch stays on the device; training is a step of train.py ({about['precision']}), inference "
        "that of validate.py. Each mode runs in a process of its own."
    ]
    if results.peer:
        lines.append(
            f"timm: its {results.peer['model']}, PyTorch eager, {results.peer['precision']}, cross-entropy, SGD with "
            "momentum; the batches of ours and timm's in turn, and ratios those of neighbours."
        )
    for kind, timings in results.ours.items():
        for mode, timing in timings.items():
            if timing.not_finite:
                lines.append(
                    f"{mode}, {kind}: {timing.not_finite} steps of {len(timing.seconds)} updates had NaN or infinite "
                    "gradients, and left the update out."
                )
    return [*lines, *(f"failed: {what}: {why}" for what, why in results.failures.items())]


def _per_cent(results: Results, name: str) -> str:
    return f"{results.measures[name]:.2f} %" if name in results.measures else NOT_MEASURED


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
