"""The catalog of published weights: publisher, address, licence and accuracy.

The records are in catalog.csv, written by tools/make_catalog.py; all are classifiers for ImageNet-1k.
"""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from mindcv.nearest import did_you_mean

_HERE = Path(__file__).parent

# Plausible requests whose message gives the reason why they do not exist.
_UNUSABLE = {
    ("sknet50", "mindcv"): "MindCV's skresnext50_32x4d is not SKNet-50: it has no groups and 10 M parameters more "
    "(create_model('skresnext50_32x4d', pretrained='mindcv') builds that network)",
}


@dataclass(frozen=True)
class WeightRecord:
    """Weights that were published for one of our networks.

    Attributes:
        model: name of the network in this package.
        name: name of the weights: timm's tag, such as "ra_in1k", or "mindcv".
        source: publisher, "timm" or "mindcv"; it decides how names are translated.
        hub: repository on the Hugging Face hub with the file `model.safetensors`, or None.
        hub_sha256: of that file, 64 hexadecimal digits; None if the hub must be asked.
        url: address of a single file, or None.
        url_sha256: first digits, at least 8, of the sha256 of the file at `url`, as in its name; None without `url`.
        licence: SPDX identifier in lower case.
        num_classes: size of the logits.
        input_size: height and width of the images in training, in pixels.
        crop_pct: side of the central crop over that of the resized image, at `input_size`.
        interpolation: of the resizing, "bilinear" or "bicubic".
        mean, std: of each channel, for images in [0, 1].
        eval_size, eval_crop_pct: size and crop of the publisher's evaluation.
        top1, top5: published accuracy on ImageNet-1k's validation set at `eval_size`, in %.
        params: millions of parameters.
        differences: how the publisher's network differs from ours of that name; "" if it does not.
    """

    model: str
    name: str
    source: str
    hub: str | None
    hub_sha256: str | None
    url: str | None
    url_sha256: str | None
    licence: str
    num_classes: int
    input_size: int
    crop_pct: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    eval_size: int
    eval_crop_pct: float
    top1: float
    top5: float
    params: float
    differences: str

    @property
    def file(self) -> str:
        """Name of the file on the hub, or else at the URL."""
        return "model.safetensors" if self.hub else self.url_file

    @property
    def sha256(self) -> str | None:
        """The known digits of that file's sha256: all, the first ones, or None."""
        return self.hub_sha256 if self.hub else self.url_sha256

    @property
    def url_file(self) -> str:
        """Name of the file at `url`, or "" if there is none."""
        return self.url.rsplit("/", 1)[1] if self.url else ""

    @property
    def megabytes(self) -> float:
        """Approximate size of the file: four bytes per parameter."""
        return 4 * self.params


def _parse(row: dict[str, str]) -> WeightRecord:
    """Convert the text of one CSV row to the types that the record declares."""
    readers: dict[object, Callable[[str], Any]] = {
        str: str,
        int: int,
        float: float,
        str | None: lambda text: text or None,
        tuple[float, float, float]: lambda text: tuple(float(number) for number in text.split()),
    }
    return WeightRecord(**{field.name: readers[field.type](row[field.name]) for field in fields(WeightRecord)})


@cache
def _records() -> dict[str, list[WeightRecord]]:
    """Return the records of each model, in the order of the file."""
    by_model: dict[str, list[WeightRecord]] = {}
    with (_HERE / "catalog.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            by_model.setdefault(row["model"], []).append(_parse(row))
    return by_model


def weight_records(model: str | None = None) -> list[WeightRecord]:
    """Return all published weights, or those of one model; a model's default comes first, timm's before MindCV's."""
    if model is not None:
        return list(_records().get(model, []))
    return [record for records in _records().values() for record in records]


def pretrained_models() -> set[str]:
    """Return the names of the models with published weights."""
    return set(_records())


def find_weights(model: str, name: str | None = None) -> WeightRecord:
    """Return the record of published weights.

    Args:
        model: name of the network.
        name: name of the weights; None for the default, which is timm's.
    Raises:
        ValueError: if there are none; the message lists those that exist.
    """
    records = weight_records(model)
    if not records:
        with_weights = sorted(pretrained_models())
        hint = did_you_mean(model, with_weights)
        raise ValueError(
            f"no weights are published for {model!r}.{hint} Models with weights: {', '.join(with_weights)}."
        )
    by_name = {record.name: record for record in records}
    if name is None:
        return records[0]
    if (model, name) in _UNUSABLE:
        raise ValueError(f"weights {name!r} cannot be used for {model!r}: {_UNUSABLE[model, name]}.")
    if name not in by_name:
        hint = did_you_mean(name, list(by_name))
        raise ValueError(f"no weights {name!r} are published for {model!r}.{hint} Known: {', '.join(by_name)}.")
    return by_name[name]


_HEADINGS = ("model", "weights", "top-1", "top-5", "at", "source", "licence", "size")
_RIGHT = ("top-1", "top-5", "at", "size")


def format_table(names: Iterable[str]) -> str:
    """Return a table of the published weights of these models; a model without any has one line."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for name in names:
        rows += [
            (
                name,
                record.name,
                f"{record.top1:.2f}",
                f"{record.top5:.2f}",
                str(record.eval_size),
                record.source,
                record.licence,
                f"{record.megabytes:.0f} MB",
            )
            for record in weight_records(name)
        ] or [(name, "none published", *[""] * (len(_HEADINGS) - 2))]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if heading in _RIGHT else cell.ljust(width)
            for heading, cell, width in zip(_HEADINGS, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


@cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """Return the 1000 classes of ImageNet-1k in the order of the logits: (WordNet id, unique name)."""
    lines = (_HERE / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    return tuple((wnid, name) for wnid, name in (line.split("\t") for line in lines))
