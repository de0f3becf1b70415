"""Options of the training step combined: Graph mode equals Pynative mode, and a restored state goes on exactly."""

from itertools import combinations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from tiers import full

from mindcv.checkpoint import read_checkpoint, save_checkpoint
from mindcv.engine import Clip, Progress, TrainState, TrainStep, WeightAverage, create_loss_scale
from mindcv.loss import create_loss
from mindcv.models import recompute_blocks, set_precision
from mindcv.optim import create_optimizer
from mindcv.runtime import setup_runtime

RNG = np.random.default_rng(8)
BATCHES = [
    (Tensor(RNG.standard_normal((4, 3, 8, 8)).astype(np.float32)), Tensor(RNG.integers(0, 3, 4).astype(np.int32)))
    for _ in range(5)
]
# Option -> the options that it excludes, one of a kind at a time.
OPTIONS = {
    "O1": {"O2", "O3"},
    "O2": {"O1", "O3"},
    "O3": {"O1", "O2"},
    "ema": set(),
    "norm": {"value", "agc"},
    "value": {"norm", "agc"},
    "agc": {"norm", "value"},
    "accumulate": set(),
    "recompute": {"drop_path", "drop_block"},
    "drop_path": {"recompute"},
    "drop_block": {"recompute"},
    "dropout": set(),
    "smoothing": set(),
    "adamw": set(),
}
PAIRS = [pair for pair in combinations(OPTIONS, 2) if pair[1] not in OPTIONS[pair[0]]]
# Sets of compatible options that hold every pair of them.
COVERING = [
    {"O2", "ema", "norm", "accumulate", "drop_path", "drop_block", "dropout", "smoothing", "adamw"},
    {"O1", "ema", "value", "accumulate", "recompute", "dropout", "smoothing", "adamw"},
    {"O3", "ema", "agc", "accumulate", "recompute", "dropout", "smoothing", "adamw"},
    {"O2", "value", "recompute"},
    {"O2", "agc", "drop_path", "drop_block"},
    {"O1", "norm", "drop_path", "drop_block"},
    {"O1", "agc"},
    {"O3", "norm", "recompute"},
    {"O3", "value", "drop_path", "drop_block"},
]


def build(tiny_network, options):
    level = next((option for option in options if option[0] == "O"), "O0")
    network = tiny_network(
        num_classes=3,
        drop_rate=0.2 if "dropout" in options else 0.0,
        drop_path_rate=0.2 if "drop_path" in options else 0.0,
        drop_block_rate=0.2 if "drop_block" in options else 0.0,
        device_forms=level == "O0",
    )
    set_precision(network, level)
    if "recompute" in options:
        recompute_blocks(network)
    optimizer = create_optimizer(network, "adamw" if "adamw" in options else "momentum", lr=0.01, weight_decay=0.01)
    kind = next((option for option in options if option in ("norm", "value", "agc")), None)
    step = TrainStep(
        network,
        create_loss(label_smoothing=0.1 if "smoothing" in options else 0.0),
        optimizer,
        clip=Clip(kind, 0.05, optimizer.parameters, network.depth_groups()[-1]) if kind else None,
        accumulate_steps=2 if "accumulate" in options else 1,
        loss_scale=create_loss_scale("auto", None, level, "float16", skips_overflow=False),
        average=WeightAverage(network, 0.9, 0) if "ema" in options else None,
    )
    return step.set_train(True)


def train(step, batches):
    """The loss of each batch; NaN if the step was bad."""
    results = [step(*batch) for batch in batches]
    return [float(result.loss.asnumpy()) if result.finite.asnumpy() else np.nan for result in results]


def test_the_covering_sets_hold_every_pair():
    covered = {frozenset(pair) for options in COVERING for pair in combinations(options, 2)}
    assert {frozenset(pair) for pair in PAIRS} <= covered
    for options in COVERING:
        assert not any(OPTIONS[option] & options for option in options)


@pytest.mark.parametrize(
    "options", full(COVERING, by_default=COVERING[:1]), ids=lambda options: "-".join(sorted(options))
)
def test_both_modes_train_equally_and_a_restored_state_goes_on_exactly(tmp_path, tiny_network, options):
    losses, weights = {}, {}
    bad = (Tensor(np.full((4, 3, 8, 8), np.nan, np.float32)), BATCHES[0][1])
    for mode in (1, 0):
        setup_runtime(mode=mode, device_target="CPU")
        step = build(tiny_network, options)
        losses[mode] = train(step, [*BATCHES[:2], bad, *BATCHES[2:3]])
        if mode == 1:  # the restored state, where compiling costs nothing
            state = TrainState(step)
            path = tmp_path / "last.ckpt"
            description = {"model": {}, "config": {}, "training": state.describe(Progress(batch=4))}
            save_checkpoint(path, state.weights(), description, state.arrays())
        losses[mode] += train(step, BATCHES[3:])
        weights[mode] = {name: parameter.asnumpy().copy() for name, parameter in step.measured.items()}
        if mode == 1:
            other = build(tiny_network, options)
            TrainState(other).restore(read_checkpoint(path))
            assert train(other, BATCHES[3:]) == losses[1][4:]
            for name, parameter in other.measured.items():
                assert parameter.asnumpy().tobytes() == weights[1][name].tobytes(), name
    ms.set_context(mode=ms.GRAPH_MODE)
    tolerance = 3e-3 if options & {"O1", "O2", "O3"} else 1e-4
    assert np.isnan(losses[0][2]) and np.isnan(losses[1][2])
    np.testing.assert_allclose(losses[0], losses[1], rtol=tolerance)
    for name, array in weights[0].items():
        np.testing.assert_allclose(array, weights[1][name], rtol=0.05, atol=20 * tolerance, err_msg=name)
