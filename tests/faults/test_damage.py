"""Checkpoints damaged after writing: damage is always noticed, and the files are kept."""

import random
import shutil

import pytest
from faults.damage import flips, message_ends, ways_to_damage
from faults.kill_campaign import SCENARIOS, differences, in_the_middle, outcome
from faults.kill_runs import MODEL, Runner, command
from tiers import full

from mindcv.checkpoint import CheckpointStore, read_checkpoint

OPTIONS = {**SCENARIOS["pynative"], "resume": "auto"}
SEED = 21


@pytest.fixture(scope="module")
def runner():
    with Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def stopped(runner, tmp_path_factory):
    """The folder of a run killed in its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    assert runner.train(command(folder, **OPTIONS), folder, fault=in_the_middle()).code == -9
    return folder


@pytest.fixture(scope="module")
def expected(runner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    assert runner.train(command(folder, **OPTIONS), folder).code == 0
    return outcome(folder)


@pytest.fixture
def content(stopped):
    return (stopped / f"{MODEL}-last.ckpt").read_bytes()


def is_refused(path) -> bool:
    try:
        read_checkpoint(path)
    except ValueError as error:
        return str(path) in str(error)
    return False


def test_every_flipped_byte_is_noticed(content, tmp_path):
    path = tmp_path / "flipped.ckpt"
    number = 0
    for damaged in flips(content, every=41, rng=random.Random(SEED)):
        path.write_bytes(damaged)
        assert is_refused(path)
        number += 1
    print(f"{number} flipped bytes")


def test_every_truncation_is_noticed(content, tmp_path):
    path = tmp_path / "cut.ckpt"
    ends = message_ends(content)
    for size in sorted({*range(0, len(content), 4096), *ends, *range(len(content) - 40, len(content))}):
        path.write_bytes(content[:size])
        if is_refused(path):
            continue
        # Cut between two entries, it is a valid MindSpore file of fewer weights, as another tool may write.
        assert size in ends
        checkpoint = read_checkpoint(path)
        assert not checkpoint.info and not checkpoint.state
        shutil.copy(path, tmp_path / f"{MODEL}-last.ckpt")
        with pytest.raises(ValueError, match="damaged"):
            CheckpointStore(tmp_path, MODEL).newest()
    print(f"{len(range(0, len(content), 4096)) + len(ends) + 40} truncations")


@pytest.mark.parametrize("way", ways_to_damage())
def test_after_a_damaged_last_checkpoint_the_previous_one_is_used(way, stopped, expected, runner, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    path = folder / f"{MODEL}-last.ckpt"
    ways_to_damage()[way](path)
    kept = None if way == "a dangling link" else sorted(p.read_bytes() for p in ([path] if path.is_file() else []))
    attempt = runner.train(command(folder, **OPTIONS), folder)
    assert attempt.code == 0, attempt.console
    assert f"resuming from the previous one: {folder / f'{MODEL}-previous.ckpt'}" in attempt.console, attempt.console
    aside = folder / f"{MODEL}-last.ckpt.damaged"
    assert aside.is_symlink() or aside.exists()
    if kept:
        assert aside.read_bytes() == kept[0]
    end = outcome(folder)
    end["files"].remove(aside.name)
    assert not differences(expected, end)


def test_with_every_checkpoint_damaged_nothing_is_changed(stopped, runner, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    for path in folder.glob("*.ckpt"):
        ways_to_damage()["a flipped bit"](path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    attempt = runner.train(command(folder, **OPTIONS), folder)
    assert attempt.code == 2 and "Traceback" not in attempt.console
    assert "is damaged" in attempt.console and "the files are kept" in attempt.console
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "way", full(["a flipped bit", "cut between two entries", "empty", "a dangling link"], by_default=["a flipped bit"])
)
def test_a_damaged_best_checkpoint_is_set_aside_and_reported(way, stopped, expected, runner, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    best = folder / f"{MODEL}-best.ckpt"
    ways_to_damage()[way](best)
    attempt = runner.train(command(folder, **OPTIONS), folder)
    assert attempt.code == 0, attempt.console
    assert f"{best} is damaged; it is now {best}.damaged" in attempt.console
    assert f"{best} is missing" in attempt.console and "is lost" in attempt.console
    end = outcome(folder)
    same = [key for key in expected if "-last.ckpt" in key and not key.endswith("info")]
    assert same and all(end[key] == expected[key] for key in same)
    assert read_checkpoint(best).info["metrics"]
