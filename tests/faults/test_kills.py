"""A training killed at any instant and started again ends like an undisturbed one."""

import pytest
from faults.kill_campaign import SCENARIOS, differences, in_the_middle, outcome, run_campaign
from faults.kill_runs import MODEL, Fault, Runner, command
from tiers import slow

SEED = 20
# Scenario and number of kills. The last one writes every kind of file and is killed at every instant.
CAMPAIGNS = [("graph", 24), ("graph adamw", 8), ("pynative", 8), ("pynative adamw", 1000)]


@pytest.fixture(scope="module")
def runner():
    with Runner() as runner:
        yield runner


@pytest.mark.parametrize("scenario, kills", [("pynative adamw", 6), *(slow(*campaign) for campaign in CAMPAIGNS)])
def test_killed_runs_end_like_an_undisturbed_run(scenario, kills, runner, tmp_path):
    count = run_campaign(runner, tmp_path, SCENARIOS[scenario], SEED, kills=kills, times=10, writes=3)
    print(*count.lines(), sep="\n")
    assert count.total >= min(kills, 70)


def test_a_kill_while_moving_an_earlier_run_loses_no_file(runner, tmp_path):
    options = {"mode": 1, "keep_checkpoint_max": 1, "epoch_size": 1}
    first = tmp_path / "first"
    assert runner.train(command(first, **options, seed=1), first).code == 0
    earlier = {path.name: path.read_bytes() for path in first.iterdir()}
    reference = tmp_path / "reference"
    assert runner.train(command(reference, **options, seed=2), reference).code == 0
    expected = outcome(reference)
    for number in range(len(earlier) + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in earlier.items():
            (folder / name).write_bytes(content)
        argv = command(folder, **options, seed=2)
        killed = runner.train(argv, folder, fault=Fault("kill", r"(mkdir|rename \S+) earlier-1\S*", skip=number))
        assert killed.code == -9
        assert runner.train(argv, folder).code == 0
        moved = {path.name: path.read_bytes() for path in folder.glob("earlier-*/*")}
        assert moved == earlier
        end = outcome(folder)
        end["files"] = [name for name in end["files"] if not name.startswith("earlier-")]
        assert not differences(expected, end)


def test_a_kill_at_the_end_leaves_a_complete_run(runner, tmp_path):
    argv = command(tmp_path, mode=1, resume="auto", epoch_size=1)
    assert runner.train(argv, tmp_path, fault=Fault("kill", r"unlink \.lock")).code == -9
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = runner.train(argv, tmp_path)
    assert again.code == 0 and "is complete" in again.console
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_harness_notices_a_run_that_ends_differently(runner, tmp_path):
    ends = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        argv = command(folder, mode=1, resume="auto", seed=seed)
        assert runner.train(argv, folder, fault=in_the_middle()).code == -9
        assert runner.train(argv, folder).code == 0
        ends.append(outcome(folder))
    found = " ".join(differences(*ends))
    assert f"{MODEL}-last.ckpt hidden.weight" in found and "metrics.csv" in found
