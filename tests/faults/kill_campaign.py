"""Repeated kills of a training until it is complete, checking its folder each time and at the end."""

import csv
import hashlib
import random
import re
import shutil
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.kill_runs import MODEL, Attempt, Fault, Runner, command

from mindcv.checkpoint import CheckpointStore, read_checkpoint

SAVED = f"rename .{MODEL}-last.saving.ckpt {MODEL}-last.ckpt"
_CHECKPOINT = re.compile(rf"{MODEL}-(best|last|previous|\d+)\.ckpt")
_TEMPORARY = re.compile(r"\..+\.saving\.\w+|\.lock")
_TIMES = {"seconds", "images_per_second", "data_wait", "waited"}
_FOLDER_OF_RUN = {"ckpt_save_dir", "resume"}

MOMENTUM = {"opt": "momentum"}
ADAMW = {"opt": "adamw", "gradient_accumulation_steps": 2, "keep_checkpoint_max": 2, "ckpt_save_steps": 2}
SCENARIOS = {
    "graph": {"mode": 0, **MOMENTUM},
    "graph adamw": {"mode": 0, **ADAMW},
    "pynative": {"mode": 1, **MOMENTUM},
    "pynative adamw": {"mode": 1, **ADAMW, "ckpt_save_policy": "top_k"},
}


def outcome(folder: Path) -> dict[str, Any]:
    """Return the contents of a complete run's folder, without times."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [
            {key: row[key] for key in row if not key.endswith(("seconds", "per_second", "wait"))}
            for row in csv.DictReader(file)
        ]
    # A dead process's lock file does not block; the next training in the folder removes it.
    files = sorted(path.name for path in folder.iterdir() if path.name != ".lock")
    found: dict[str, Any] = {"files": files, "metrics.csv": rows}
    for path in sorted(folder.glob("*.ckpt")):
        if path.name.endswith("-previous.ckpt"):
            continue  # depends on the kills
        checkpoint = read_checkpoint(path)
        arrays = {**checkpoint.weights, **{f"state {name}": array for name, array in checkpoint.state.items()}}
        for name, array in arrays.items():
            if name.endswith("accumulated_calls"):  # counts from the last resume between epochs; its remainder counts
                array = array % ADAMW["gradient_accumulation_steps"]
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            found[f"{path.name} {name}"] = f"{array.dtype}{array.shape} {digest}"
        found[f"{path.name} info"] = _without_times(checkpoint.info)
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(part) for key, part in value.items() if key not in _TIMES | _FOLDER_OF_RUN}
    return [_without_times(part) for part in value] if isinstance(value, list) else value


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the differences between two outcomes, for a message."""
    return [
        f"{key}: {one.get(key)!r} / {other.get(key)!r}"[:600]
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]


def check_folder(folder: Path, attempts: list[Attempt], before: tuple[int, int]) -> tuple[int, int]:
    """Check a folder after a kill.

    Args:
        attempts: on this folder so far.
        before: epoch and batch to resume from before the newest attempt.
    Returns:
        Epoch and batch to resume from now.
    """
    if not folder.exists():
        return before
    for path in folder.iterdir():
        assert _CHECKPOINT.fullmatch(path.name) or _TEMPORARY.fullmatch(path.name) or path.suffix != ".ckpt", path
        if _CHECKPOINT.fullmatch(path.name):
            read_checkpoint(path)
    newest, complaints = CheckpointStore(folder, MODEL).newest()
    assert not complaints, complaints
    is_saved = any(SAVED in attempt.events[:-1] for attempt in attempts)  # the last event may not have happened
    if newest is None:
        assert not is_saved and before == (0, 0), "there was a checkpoint to resume from, and now there is none"
        return before
    progress = newest.info["training"]["progress"]
    position = progress["epoch"], progress["batch"]
    assert position >= before, f"fell back from epoch and batch {before} to {position}"
    return position


@dataclass
class Kill:
    """A planned kill.

    Attributes:
        kind: for the count at the end: "before <operation>", "inside a write", "at a random time".
        fault: a kill at an operation.
        after: a kill after this many seconds.
        misses: number of processes that ended without it.
    """

    kind: str
    fault: Fault | None = None
    after: float | None = None
    misses: int = 0


@dataclass
class Count:
    """Counts of a campaign."""

    kills: Counter = field(default_factory=Counter)  # kind -> number
    instants: set = field(default_factory=set)  # pairs of operations between which a kill fell
    attempts: int = 0
    runs: int = 0
    seconds: float = 0.0

    def __iadd__(self, other: "Count") -> "Count":
        self.kills += other.kills
        self.instants |= other.instants
        self.attempts += other.attempts
        self.runs += other.runs
        self.seconds += other.seconds
        return self

    @property
    def total(self) -> int:
        """Kills of all kinds."""
        return sum(self.kills.values())

    def lines(self) -> list[str]:
        """Return a readable summary."""
        return [
            f"{self.total} kills in {self.runs} runs, {self.attempts} processes, {self.seconds:.0f} s; "
            f"{len(self.instants)} different instants between two operations on files",
            *(f"  {number:5d} {kind}" for kind, number in self.kills.most_common()),
        ]


def instants(events: list[str]) -> list[tuple[str, str]]:
    """Return the different pairs of consecutive operations, as patterns for any epoch number."""
    pairs = zip(["", *events], events, strict=False)
    return list(dict.fromkeys((_pattern(before), _pattern(event)) for before, event in pairs))


def _pattern(event: str) -> str:
    return re.sub(r"-\d+\\\.", r"-\\d+\\.", re.escape(event).replace(r"\ ", " "))


def plan(reference: Attempt, resumed: Attempt, rng: random.Random, *, times: int, writes: int) -> list[Kill]:
    """Plan a kill at each different instant of a run and of a resume, and some inside writes and at random times."""
    kills = []
    known = instants(reference.events)
    known += [pair for pair in instants(resumed.events) if pair not in known]
    for before, event in known:
        pairs = zip(["", *reference.events], reference.events, strict=False)
        most = sum(_fits(pair, before, event) for pair in pairs)
        fault = Fault("kill", event, before, skip=rng.randrange(min(3, max(1, most))))
        kills.append(Kill(f"before {event.split()[0]}", fault))
    for name, size in [
        (r"\.kill_net-last\.saving\.ckpt", 190_000),
        (r"\.kill_net-best\.saving\.ckpt", 47_000),
    ] * writes:
        fault = Fault("cut", f"open {name}", skip=rng.randrange(2), count=1, size=rng.randrange(size))
        kills.append(Kill("inside a write", fault))
    for name, size in ((r"\.metrics\.saving\.csv", 200), (r"\.config\.saving\.yaml", 1400)):
        fault = Fault("cut", f"open {name}", count=1, size=rng.randrange(size))
        kills.append(Kill("inside a write", fault))
    kills += [Kill("at a random time", after=rng.uniform(0, reference.seconds)) for _ in range(times)]
    rng.shuffle(kills)
    return kills


def in_the_middle() -> Fault:
    """Return a kill in the second epoch of a run."""
    return Fault("kill", re.escape(SAVED).replace(r"\ ", " "), skip=7)


def _fits(pair: tuple[str, str], before: str, event: str) -> bool:
    return bool(re.fullmatch(before, pair[0]) and re.fullmatch(event, pair[1]))


def run_campaign(
    runner: Runner, root: Path, options: dict[str, Any], seed: int, *, kills: int, times: int, writes: int
) -> Count:
    """Execute the kills of a plan, in as many runs as needed.

    Args:
        kills: largest number of kills.
        times, writes: see `plan`.

    Raises:
        AssertionError: if a run did not survive.
    """
    begin, rng, count = time.monotonic(), random.Random(seed), Count()
    folder = root / "run"
    options = {**options, "resume": "auto"}
    argv = command(folder, **options)
    reference = runner.train(command(root / "reference", **options), root / "reference")
    assert reference.code == 0, reference.console
    expected = outcome(root / "reference")
    first = runner.train(command(root / "resumed", **options), root / "resumed", fault=in_the_middle())
    assert first.code == -9
    resumed = runner.train(command(root / "resumed", **options), root / "resumed")
    assert resumed.code == 0, resumed.console

    left = deque(plan(reference, resumed, rng, times=times, writes=writes)[:kills])
    while left:
        attempts, position, said = [], (0, 0), []
        while True:
            kill = left.popleft() if left else Kill("none")
            attempt = runner.train(argv, folder, fault=kill.fault, kill_after=kill.after)
            attempts.append(attempt)
            said.append(f"{kill}: {attempt.code}\n{attempt.console}")
            try:
                if attempt.code == 0:
                    kill.misses += 1
                    assert kill.misses < 5, f"cannot be hit: {kill}"
                    if kill.after:  # the reference was slower
                        kill.after /= 2
                        left.appendleft(kill)
                    if kill.fault:  # the instant occurs in a new or in a resumed run: try both
                        kill.fault.skip = 0
                        left.extendleft([kill, Kill("before rename", in_the_middle())] if kill.misses % 2 else [kill])
                    break
                assert attempt.code in (-9, -25), attempt.code
                count.kills[kill.kind] += 1
                count.instants.add(tuple(map(_pattern, ["", "", *attempt.events][-2:])))
                position = check_folder(folder, attempts, position)
            except (AssertionError, ValueError) as error:
                raise AssertionError(f"{error}\n" + "\n".join(said)) from error
        wrong = differences(expected, outcome(folder))
        assert not wrong, "\n".join(wrong) + "\n" + "\n".join(said)
        count.runs += 1
        count.attempts += len(attempts)
        shutil.rmtree(folder)
    count.seconds = time.monotonic() - begin
    return count
