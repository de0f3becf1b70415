"""Writes the table of operators in docs/devices.md: who uses each, and on which devices MindSpore documents it.

    python tools/device_table.py

Every network (with few blocks), loss, optimizer, clipping, average, level of mixed precision and the training step are
compiled on a CPU as for each device, and the operators are read from the graph. Takes minutes.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tools")]
import mindcv  # first: it sets what MindSpore reads
import mindspore as ms
import numpy as np
from count_operators import count_operators
from mindspore import Tensor, nn
from portability import INFRASTRUCTURE, documented_as, graph_primitives, supported_platforms

from mindcv.arguments import CLIP_MODE
from mindcv.engine import Clip, DeviceStep, TrainStep, WeightAverage, device_step
from mindcv.loss import LOSSES, create_loss
from mindcv.models import create_model, set_precision
from mindcv.optim import OPTIMIZERS, create_optimizer, momentum

PAGE = ROOT / "docs" / "devices.md"
LEVELS = ("O1", "O2", "O3")
PLATFORMS = ("Ascend", "GPU", "CPU")
_PLACE = re.compile(r"(?<=<!-- operators -->\n).*?(?=<!-- end of operators -->)", re.DOTALL)
_ROW = re.compile(r"^\| (\w+)(?: \(as \w+\))? \| (.+?) \| (yes|no|\?) \| (yes|no|\?) \| (yes|no|\?) \|$", re.MULTILINE)
# What is said of users that have an operator in the forms for some devices only.
_ONLY = {
    frozenset({"CPU"}): "on a CPU: ",
    frozenset({"GPU"}): "on a GPU: ",
    frozenset({"Ascend"}): "on Ascend: ",
    frozenset({"Ascend", "CPU"}): "not on a GPU: ",
    frozenset({"GPU", "CPU"}): "not on Ascend: ",
}


class Row(NamedTuple):
    """An operator, its users in words, and the devices that have it; none: not documented."""

    users: str
    platforms: frozenset[str]


class _Then(nn.Cell):
    """Calls a Cell that returns nothing, which is an operator of its own in a graph, and returns the input."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.cell = cell

    def construct(self, x: Tensor) -> Tensor:
        self.cell(x)
        return x


def small_network(name: str, *, device_forms: bool) -> nn.Cell:
    """A network with three blocks: one that changes stride and width and one that keeps them, like all further ones."""
    sizes = {"channels": (24, 64, 128, 256)} if "shufflenet" in name else {"planes": (64, 128)}
    return create_model(name, num_classes=10, device_forms=device_forms, layers=(1, 2), **sizes).set_train()


def of_network(network: nn.Cell) -> set[str]:
    return graph_primitives(network, Tensor(np.zeros((2, 3, 64, 64), np.float32)), grad=True)


@cache
def of_networks(*, device_forms: bool) -> list[tuple[str, set[str]]]:
    """Operators of each network, forward and backward."""
    compiled: dict[str, set[str]] = {}
    found = []
    for name in mindcv.list_models():
        network = small_network(name, device_forms=device_forms)
        printed = re.sub("0x[0-9a-f]+", "", str(network))  # without the addresses of the initializers
        if printed not in compiled:
            compiled[printed] = of_network(network)
        found.append((name, compiled[printed]))
    return found


@cache
def of_losses() -> list[tuple[str, set[str]]]:
    found = []
    for name in LOSSES:
        for labels in (np.array([0, 3], np.int32), np.full((2, 4), 0.25, np.float32)):
            loss = create_loss(name, label_smoothing=0.1, aug_splits=2)
            logits = Tensor(np.zeros((2, 4), np.float32))
            found.append((f"loss={name}", graph_primitives(loss, logits, Tensor(labels), grad=True)))
    return found


def of_updates() -> Iterator[tuple[str, set[str]]]:
    """Operators of each optimizer, clipping, and the average of the weights."""
    for name in OPTIMIZERS:
        optimizer = create_optimizer(nn.Dense(3, 2), name, lr=[0.1, 0.2], weight_decay=0.1)
        # Not constants, with which the compiler would compute.
        gradients = ms.mutable(tuple(Tensor(np.zeros(p.shape, np.float32)) for p in optimizer.parameters))
        yield f"opt={name}", _operators(optimizer, gradients)
    for mode in CLIP_MODE.choices:
        yield f"clip_mode={mode}", graph_primitives(Clip(mode, 0.1, optimizer.parameters), gradients)
    yield "ema", graph_primitives(_Then(WeightAverage(nn.Dense(3, 2))), Tensor(np.ones(1, np.int32)))


def of_step(kind: type[TrainStep]) -> Iterator[tuple[str, set[str]]]:
    """Operators of a step beyond its network, loss and optimizer: the check for NaN, and undoing a bad step."""
    network = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dense(512, 3))
    images, labels = Tensor(np.zeros((2, 3, 8, 8), np.float32)), Tensor(np.zeros(2, np.int32))
    optimizer, loss = create_optimizer(network, "momentum", lr=[0.1, 0.2]), create_loss()
    gradients = ms.mutable(tuple(Tensor(np.zeros(p.shape, np.float32)) for p in optimizer.parameters))
    of_parts = graph_primitives(network.set_train(), images, grad=True)
    of_parts |= graph_primitives(loss, Tensor(np.zeros((2, 3), np.float32)), labels, grad=True)
    of_parts |= _operators(optimizer, gradients) | {"Partial", "Switch"}  # where the host decides
    step = kind(network, loss, optimizer).set_train()
    inputs = (images, labels, step.snapshot()) if isinstance(step, DeviceStep) else (images, labels)
    yield "training step", _operators(step, *inputs) - of_parts


def _operators(cell: nn.Cell, *inputs: Tensor) -> set[str]:
    return {*count_operators(cell, *inputs)[0]} - INFRASTRUCTURE


@cache
def of_mixed_precision() -> list[tuple[str, set[str]]]:
    """Operators that a network has at each level, but not in float32."""
    found = []
    plain = of_network(small_network("skresnet18", device_forms=False))
    for level in LEVELS:
        network = small_network("skresnet18", device_forms=False)
        set_precision(network, level, level, "float16")
        found.append((f"amp_level={level}", of_network(network) - plain))
    return found


def everything(device: str) -> Iterator[tuple[str, set[str]]]:
    """User and operators, as built for a device."""
    yield from of_networks(device_forms=device == "CPU")
    yield from of_losses()
    yield from of_mixed_precision()
    with ExitStack() as stack:
        for module in (momentum, device_step):
            stack.enter_context(mock.patch.object(module, "on_gpu", lambda: device == "GPU"))
        yield from of_updates()
        yield from of_step(TrainStep if device == "CPU" else DeviceStep)


def collect() -> dict[str, Row]:
    """Operator -> its users and devices."""
    users: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for device in PLATFORMS:
        for user, primitives in everything(device):
            for primitive in primitives:
                users[primitive][user].add(device)
    return {name: Row(in_words(of), platforms_of(name)) for name, of in sorted(users.items())}


def platforms_of(primitive: str) -> frozenset[str]:
    try:
        return frozenset(supported_platforms(primitive))
    except LookupError:
        return frozenset()


def in_words(users: Mapping[str, set[str]]) -> str:
    """Families of networks instead of their members; all networks, losses, optimizers or levels in two words."""
    parts = []
    for beginning in ("", *_ONLY.values()):
        these = {user for user, devices in users.items() if _ONLY.get(frozenset(devices), "") == beginning}
        if these:
            parts.append(beginning + _listed(these))
    return "; ".join(parts)


def _listed(users: set[str]) -> str:
    names, words = {*mindcv.list_models()}, []
    for label, members in (
        ("all networks", names),
        ("all losses", {f"loss={name}" for name in LOSSES}),
        ("all optimizers", {f"opt={name}" for name in OPTIMIZERS}),
        ("mixed precision", {f"amp_level={level}" for level in LEVELS}),
    ):
        if members <= users:
            words.append(label)
            users = users - members
    families = {re.match("[a-z]+", user)[0] if user in names else user for user in users}
    return ", ".join([*words, *sorted(families)])


def as_markdown(rows: Mapping[str, Row]) -> str:
    lines = [f"| operator | used by | {' | '.join(PLATFORMS)} |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        shown = name if documented_as(name) == name else f"{name} (as {documented_as(name)})"
        cells = ["?" if not row.platforms else "yes" if device in row.platforms else "no" for device in PLATFORMS]
        lines.append(f"| {shown} | {row.users} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def written(page: Path = PAGE) -> dict[str, Row]:
    """The table on the page."""
    (table,) = _PLACE.findall(page.read_text(encoding="utf-8"))
    return {
        name: Row(users, frozenset(device for device, cell in zip(PLATFORMS, cells, strict=True) if cell == "yes"))
        for name, users, *cells in _ROW.findall(table)
    }


def main() -> None:
    mindcv.setup_runtime(device_target="CPU")
    table = as_markdown(collect())
    text = PAGE.read_text(encoding="utf-8")
    assert len(_PLACE.findall(text)) == 1, f"{PAGE} has no place for the table"
    PAGE.write_text(_PLACE.sub(lambda _: table, text), encoding="utf-8")
    print(f"written to {PAGE}")


if __name__ == "__main__":
    main()
