"""The accelerators' training step against the CPU's: the same results and states, to the last bit."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from tiers import full

from mindcv.engine import Clip, DeviceStep, TrainStep, WeightAverage, create_loss_scale
from mindcv.loss import create_loss
from mindcv.models.layers import ConvNormAct, DropPath
from mindcv.optim import create_optimizer

RNG = np.random.default_rng(3)
PHOTOS = RNG.standard_normal((6, 4, 3, 5, 5)).astype(np.float32)
CLASSES = RNG.integers(0, 3, (6, 4)).astype(np.int32)
GOOD = [(Tensor(x), Tensor(y)) for x, y in zip(PHOTOS, CLASSES, strict=True)]


def with_pixel(value: float) -> tuple[Tensor, Tensor]:
    photos = PHOTOS[0].copy()
    photos[2, 1, 3, 0] = value
    return Tensor(photos), Tensor(CLASSES[0])


NAN, HUGE = with_pixel(np.nan), with_pixel(1e30)  # HUGE: infinite statistics of a finite loss
CALLS = [NAN, *GOOD[:2], HUGE, GOOD[2], NAN, NAN, *GOOD[3:]]


class Small(nn.Cell):
    """Two convolutions with batch norm, one of them dropped at times, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = ConvNormAct(3, 8, 3), ConvNormAct(8, 8, 3)
        self.drop_path = DropPath(0.3, seed=0)
        self.classifier = nn.Dense(8, 3)

    def construct(self, x):
        x = self.first(x)
        return self.classifier((x + self.drop_path(self.second(x))).mean((2, 3)))


def build(kind, opt="momentum", *, clip=None, ema=False, scale=None, **options) -> TrainStep:
    ms.set_seed(5)
    network = Small()
    settings = {key: options.pop(key) for key in ("layer_decay", "use_nesterov") if key in options}
    lr = [0.1 / (1 + update) for update in range(10)]
    optimizer = create_optimizer(network, opt, lr=lr, weight_decay=0.01, **settings)
    step = kind(
        network,
        create_loss("CE"),
        optimizer,
        clip=Clip(clip, 0.1, optimizer.parameters) if clip else None,
        average=WeightAverage(network, 0.9, 3.0) if ema else None,
        loss_scale=create_loss_scale("dynamic", scale, "O2", "float16", skips_overflow=False) if scale else None,
        **options,
    )
    return step.set_train(True)


def state_of(step) -> dict[str, bytes]:
    """Everything that a call may change; negative zeros as positive ones."""
    own = {p.name: p for cell in (step, step.network, step.optimizer) for p in cell.get_parameters()}
    return {name: (p.asnumpy() + np.zeros((), p.asnumpy().dtype)) for name, p in own.items() if name != "closed"}


def assert_equal_states(actual, expected):
    assert actual.keys() == expected.keys()
    assert not [name for name in actual if actual[name].tobytes() != expected[name].tobytes()]


def run(step, batches) -> list[tuple]:
    reports = []
    for batch in batches:
        report = tuple(result.asnumpy().item() for result in step(*batch))
        if not report[1]:
            step.reopen()
        reports.append(tuple(map(repr, report)))
    return reports


COMBINED = {"clip": "norm", "ema": True, "scale": 2.0, "accumulate_steps": 2}


@pytest.mark.parametrize(
    "opt, options",
    [
        ("momentum", {}),
        ("momentum", COMBINED),
        ("adamw", {"clip": "agc"}),
        ("adam", {}),
        ("lion", {"ema": True}),
        ("nesterov", COMBINED),
    ],
)
def test_good_and_bad_calls_leave_what_they_leave_on_a_cpu(mode, opt, options):
    step, expected = build(DeviceStep, opt, **options), build(TrainStep, opt, **options)
    for batch in CALLS:
        assert run(step, [batch]) == run(expected, [batch])
        assert_equal_states(state_of(step), state_of(expected))
