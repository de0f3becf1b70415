"""Training steps of two processes against those of one: means, the guard, the request to stop."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from photo_steps import GOOD, Small
from programs import ENVIRONMENT, command

from mindcv.engine import TrainStep
from mindcv.launch import launch
from mindcv.loss import create_loss
from mindcv.models.layers import DropPath
from mindcv.optim import create_optimizer

CALLS = 4
KINDS = ("host", "device")


@pytest.fixture(scope="module", params=[pytest.param("graph", marks=pytest.mark.slow), "pynative"])
def seen(request, tmp_path_factory):
    """What each of the two processes of tests/programs/shared_steps.py saw."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        assert launch(2, command("shared_steps", folder, ("graph", "pynative").index(request.param))) == 0
    parts = []
    for rank in range(2):
        with np.load(folder / f"{rank}.npz") as file:
            parts.append(dict(file))
    return parts


def alone(batches, accumulate_steps=1):
    """A step of one process after these batches."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    ms.set_seed(5)
    network = Small(drop_path=0.0)
    optimizer = create_optimizer(network, "momentum", lr=0.1, weight_decay=0.01)
    step = TrainStep(network, create_loss("CE"), optimizer, accumulate_steps=accumulate_steps).set_train(True)
    losses = [step(*batch).loss.asnumpy().item() for batch in batches]
    ms.set_context(mode=ms.GRAPH_MODE)
    return step, losses


def states(part, case, kind, call):
    head = f"{case} {kind} {call} state "
    return {key.removeprefix(head): array for key, array in part.items() if key.startswith(head)}


def test_the_processes_know_each_other_and_add_in_float64(seen):
    for rank, part in enumerate(seen):
        assert part["world"].tolist() == [rank, 2]
        assert part["sums"].tolist() == [0.1 + 0.2, 2.0**61, -2e-300]
        assert part["any"].tolist() == [False, True]


def test_both_processes_have_the_same_bits_after_every_call(seen):
    mine, its = seen
    assert mine.keys() == its.keys()
    shared = [key for key in mine if " state " in key or key.endswith("result")]
    assert len(shared) > 2 * 2 * CALLS * 10
    differing = [key for key in shared if mine[key].tobytes() != its[key].tobytes()]
    # The request itself is no state.
    assert [key for key in differing if not key.endswith("asks_to_stop")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_is_that_of_one_process_with_both_batches(seen, kind):
    step, losses = alone(GOOD[: 2 * CALLS], accumulate_steps=2)
    weights = {p.name: p.asnumpy() for p in step.optimizer.parameters}
    found = states(seen[0], "plain", kind, CALLS - 1)
    assert weights and all(np.array_equal(found[name], weight) for name, weight in weights.items())
    reported = [seen[0][f"plain {kind} {call} result"][0] for call in range(CALLS)]
    np.testing.assert_allclose(reported, np.reshape(losses, (CALLS, 2)).mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_running_statistics_are_the_means_of_both(seen, kind):
    parts = [alone(GOOD[rank : rank + 1])[0] for rank in range(2)]
    found = states(seen[0], "plain", kind, 0)
    for mine, its in zip(*(part.statistics for part in parts), strict=True):
        np.testing.assert_allclose(found[mine.name], (mine.asnumpy() + its.asnumpy()) / 2, rtol=1e-6, atol=1e-7)
        assert not np.array_equal(mine.asnumpy(), its.asnumpy())


@pytest.mark.parametrize("kind", KINDS)
def test_nan_in_one_process_is_a_bad_step_of_all(seen, kind):
    for part in seen:
        finite = [bool(part[f"combined {kind} {call} result"][1]) for call in range(CALLS)]
        assert finite == [True, True, False, True]
        before, after = (states(part, "combined", kind, call) for call in (1, 2))
        assert [name for name in before if before[name].tobytes() != after[name].tobytes()] == [
            name for name in before if name.endswith("draws") or name == "accumulated_calls"
        ]


def test_both_kinds_of_step_give_the_same_bits(seen):
    for case in ("plain", "combined"):
        host, device = (states(seen[0], case, kind, CALLS - 1) for kind in KINDS)
        assert device.pop("closed") == np.False_
        assert host.keys() == device.keys()
        assert not [name for name in host if (host[name] + 0).tobytes() != (device[name] + 0).tobytes()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_to_stop_reaches_all_in_the_same_call(seen, kind):
    for part in seen:
        assert [bool(part[f"plain {kind} {call} result"][-1]) for call in range(CALLS)] == [False, False, False, True]


def test_frozen_statistics_are_not_averaged(seen):
    names = seen[0]["shared statistics"].tolist()
    assert names and all(name.startswith("second.") for name in names)


def test_each_process_drops_other_examples_and_the_first_those_of_a_single_one(seen):
    mine, its = (part["mask"].reshape(-1) for part in seen)
    ms.set_seed(42)
    own = DropPath(0.5, seed=0).set_train(True)(Tensor(np.ones((64, 1, 1, 1), np.float32))).asnumpy().reshape(-1)
    assert np.array_equal(mine, own)
    assert 16 < np.count_nonzero(mine != its) < 48
