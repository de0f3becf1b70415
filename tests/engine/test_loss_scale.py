"""Loss scaling: exact without overflow, and what an overflow does to the scale and to the step."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindcv.engine import LossScale, TrainStep, create_loss_scale, loss_scale
from mindcv.optim import create_optimizer

IMAGES = np.array([[0.5], [2.0]], np.float32)


class Line(nn.Cell):
    """(B, 1) images -> their product with one weight, computed in float16."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor([1.0], ms.float32), "weight")

    def construct(self, x):
        return x.astype(ms.float16) * self.weight.astype(ms.float16)


def mean(outputs, labels):
    return (outputs.astype(ms.float32) * labels).mean()


def build(scale, **options):
    network = Line()
    optimizer = create_optimizer(network, "sgd", lr=0.5, momentum=0.0)
    step = TrainStep(network, mean, optimizer, loss_scale=scale, **options)
    step.set_train(True)
    return step


def run(step, label):
    """Train on labels of this size: they are also the size of the gradient."""
    result = step(Tensor(IMAGES), Tensor(np.full((2, 1), label, np.float32)))
    return [result.loss.asnumpy().item(), *(bool(flag.asnumpy()) for flag in result[1:])]


def dynamic(scale):
    return LossScale(scale, dynamic=True, skips_overflow=False)


def test_a_scaled_step_equals_the_unscaled_one(mode):
    plain, scaled = build(None), build(dynamic(1024.0))
    for label in (0.5, 1.0, 0.25):
        assert run(plain, label) == run(scaled, label)
    assert plain.network.weight.asnumpy() == scaled.network.weight.asnumpy()


def test_small_gradients_survive_by_the_scale(mode):
    """1e-8 is zero in float16, 1e-8 times 1024 is not."""
    changed = {}
    for name, scale in (("plain", None), ("scaled", dynamic(1024.0))):
        step = build(scale)
        run(step, 1e-8)
        changed[name] = step.network.weight.asnumpy()[0] - np.float32(1)
    assert changed["plain"] == 0
    step = build(dynamic(1024.0))
    step.network.weight.set_data(Tensor([0.0], ms.float32))  # near zero, float32 can hold the change
    run(step, 1e-8)
    np.testing.assert_allclose(step.network.weight.asnumpy(), [-0.5 * 1.25e-8], rtol=0.01)


def test_overflows_halve_the_scale_and_change_nothing_else(mode):
    step = build(dynamic(2.0**17))
    assert run(step, 1.0) == [1.25, False, False, True]
    assert step.network.weight.asnumpy() == 1.0 and step.loss_scale.value.asnumpy() == 2.0**16
    assert run(step, 1.0) == [1.25, False, False, True]
    assert run(step, 1.0) == [1.25, True, True, False]
    assert step.network.weight.asnumpy() == np.float32(1 - 0.5 * 1.25)
    assert step.loss_scale.value.asnumpy() == 2.0**15 and step.updates == 1


def test_the_scale_is_doubled_after_a_window_without_overflow(mode, monkeypatch):
    monkeypatch.setattr(loss_scale, "WINDOW", 2)
    step = build(dynamic(4.0))
    seen = []
    for _ in range(5):
        run(step, 1e-3)
        seen.append((step.loss_scale.value.asnumpy().item(), step.loss_scale.good.asnumpy().item()))
    assert seen == [(4, 1), (8, 0), (8, 1), (16, 0), (16, 1)]


def test_the_scale_stays_between_its_limits(mode, monkeypatch):
    monkeypatch.setattr(loss_scale, "WINDOW", 1)
    step = build(dynamic(2.0**24))
    run(step, 1e-6)
    assert step.loss_scale.value.asnumpy() == 2.0**24
    step = build(dynamic(1.0))
    assert run(step, 2e5)[1:] == [False, False, False]  # nothing is left to halve: a bad step
    assert step.loss_scale.value.asnumpy() == 1.0


def test_a_nan_is_a_bad_step_and_leaves_the_scale(mode):
    step = build(dynamic(1024.0))
    assert run(step, np.nan)[1:] == [False, False, False]
    assert step.loss_scale.value.asnumpy() == 1024.0 and step.loss_scale.good.asnumpy() == 0


@pytest.mark.parametrize("skips_overflow", [True, False])
def test_an_overflow_at_a_fixed_scale_is_skipped_or_a_bad_step(mode, skips_overflow):
    step = build(LossScale(2.0**17, dynamic=False, skips_overflow=skips_overflow))
    assert run(step, 1.0)[1:] == [False, False, skips_overflow]
    assert step.network.weight.asnumpy() == 1.0 and step.loss_scale.value.asnumpy() == 2.0**17


def test_an_overflow_adds_nothing_to_the_accumulated_gradient(mode):
    step = build(dynamic(2.0**17), accumulate_steps=2)
    assert run(step, 1.0)[1:] == [False, False, True]
    assert run(step, 0.25)[1:] == [True, True, False]
    assert step.network.weight.asnumpy() == np.float32(1 - 0.5 * 0.25 * 1.25 / 2)


@pytest.mark.parametrize(
    "kind, scale, level, dtype, expected",
    [
        ("auto", None, "O0", "float16", None),
        ("dynamic", None, "O0", "float16", None),
        ("auto", None, "O2", "float16", (65536, True)),
        ("auto", None, "O2", "bfloat16", None),
        ("auto", 1024.0, "O3", "float16", (1024, False)),
        ("auto", 1024.0, "O3", "bfloat16", (1024, False)),
        ("dynamic", 2.0**24, "O2", "float16", (2**24, True)),
        ("fixed", None, "O1", "float16", (1, False)),
    ],
)
def test_the_options_choose_the_scale(kind, scale, level, dtype, expected):
    made = create_loss_scale(kind, scale, level, dtype, skips_overflow=False)
    assert (made and (made.value.asnumpy().item(), made.dynamic)) == expected


def test_an_illegal_argument_is_an_error():
    with pytest.raises(ValueError, match="loss_scale_type must be 'auto' or"):
        create_loss_scale("static", None, "O2", "float16", skips_overflow=False)
    with pytest.raises(ValueError, match=r"loss_scale must be a number in \[1, 16777216\]"):
        create_loss_scale("fixed", 0.5, "O2", "float16", skips_overflow=False)
