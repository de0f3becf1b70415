"""The training step compared with an optimizer in NumPy, and its options with each other."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from photo_steps import GOOD, Small, with_pixel
from tiers import COMPILED_LATER, in_both_modes, slow

from mindcv.engine import Clip, TrainStep
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer

RNG = np.random.default_rng(3)
IMAGES = RNG.standard_normal((12, 5)).astype(np.float32)
LABELS = RNG.integers(0, 3, 12).astype(np.int32)
WEIGHT = RNG.standard_normal((3, 5)).astype(np.float32)


def linear() -> nn.Dense:
    network = nn.Dense(5, 3, has_bias=False)
    network.weight.set_data(Tensor(WEIGHT))
    return network


def make_step(*, lr=0.5, momentum=0.9, clip_norm=None, **options) -> TrainStep:
    network = linear()
    optimizer = create_optimizer(network, "momentum", lr=lr, momentum=momentum, weight_decay=0.0)
    step = TrainStep(network, create_loss("CE"), optimizer, clip=clip_of(optimizer, clip_norm), **options)
    step.set_train(True)
    return step


def clip_of(optimizer, norm) -> Clip | None:
    return Clip("norm", norm, optimizer.parameters) if norm else None


def weight_after(step, batches) -> tuple[np.ndarray, list[float]]:
    losses = [float(step(Tensor(x), Tensor(y))[0].asnumpy()) for x, y in batches]
    return step.network.weight.asnumpy().copy(), losses


def gradient(weight, images, labels) -> tuple[float, np.ndarray]:
    """Return loss and gradient of softmax regression in float64."""
    logits = images.astype(np.float64) @ weight.T
    shifted = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(probabilities[rows, labels]).mean()
    probabilities[rows, labels] -= 1
    return loss, probabilities.T @ images / len(labels)


def test_three_steps_equal_momentum_in_numpy(mode):
    weight, velocity, expected_losses = WEIGHT.astype(np.float64), 0.0, []
    for _ in range(3):
        loss, slope = gradient(weight, IMAGES, LABELS)
        velocity = 0.9 * velocity + slope
        weight = weight - 0.5 * velocity
        expected_losses.append(loss)
    got, losses = weight_after(make_step(), [(IMAGES, LABELS)] * 3)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    np.testing.assert_allclose(got, weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulating_k_batches_equals_one_batch_of_all(mode, parts):
    pieces = list(zip(np.split(IMAGES, parts), np.split(LABELS, parts), strict=True))
    whole, _ = weight_after(make_step(), [(IMAGES, LABELS)] * 4)
    accumulated, losses = weight_after(make_step(accumulate_steps=parts), pieces * 4)
    np.testing.assert_allclose(accumulated, whole, rtol=1e-5, atol=1e-6)
    assert len(losses) == 4 * parts


def test_accumulation_advances_the_schedule_once_per_update(mode):
    rates = [0.5, 0.25]
    pieces = list(zip(np.split(IMAGES, 2), np.split(LABELS, 2), strict=True))
    whole, _ = weight_after(make_step(lr=rates), [(IMAGES, LABELS)] * 2)
    accumulated, _ = weight_after(make_step(lr=rates, accumulate_steps=2), pieces * 2)
    np.testing.assert_allclose(accumulated, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clip_norm, expected", [(0.1, 0.1), (100.0, None)])
def test_clipping_limits_the_global_norm_of_the_update(mode, clip_norm, expected):
    _, slope = gradient(WEIGHT, IMAGES, LABELS)
    got, _ = weight_after(make_step(lr=1.0, momentum=0.0, clip_norm=clip_norm), [(IMAGES, LABELS)])
    moved = np.linalg.norm(WEIGHT - got)
    np.testing.assert_allclose(moved, expected or np.linalg.norm(slope), rtol=1e-5)


def test_clipping_applies_to_the_accumulated_gradient(mode):
    pieces = list(zip(np.split(IMAGES, 2), np.split(LABELS, 2), strict=True))
    whole, _ = weight_after(make_step(clip_norm=0.1), [(IMAGES, LABELS)])
    accumulated, _ = weight_after(make_step(clip_norm=0.1, accumulate_steps=2), pieces)
    np.testing.assert_allclose(accumulated, whole, rtol=1e-5, atol=1e-6)


def test_both_modes_train_an_sk_network_equally(tiny_network):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((8, 3, 16, 16)).astype(np.float32)
    labels = rng.integers(0, 10, 8).astype(np.int32)
    losses = {}
    for name, context in (("graph", ms.GRAPH_MODE), ("pynative", ms.PYNATIVE_MODE)):
        ms.set_context(mode=context)
        network = tiny_network()
        optimizer = create_optimizer(network, "momentum", lr=0.05, use_nesterov=True)
        step = TrainStep(network, create_loss("CE"), optimizer)
        step.set_train(True)
        losses[name] = [float(step(Tensor(images), Tensor(labels))[0].asnumpy()) for _ in range(4)]
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(losses["graph"], losses["pynative"], rtol=2e-4)
    assert losses["graph"][-1] < losses["graph"][0]


def test_frozen_parameters_stay_as_they_are(mode):
    class Two(nn.Cell):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Dense(5, 4), nn.Dense(4, 3)

        def construct(self, x):
            return self.second(ops.relu(self.first(x)))

    network = Two()
    for parameter in network.first.get_parameters():
        parameter.requires_grad = False
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    step = TrainStep(network, create_loss("CE"), create_optimizer(network, "adamw", lr=0.1))
    step.set_train(True)
    step(Tensor(IMAGES), Tensor(LABELS))
    for parameter in network.get_parameters():
        same = np.array_equal(before[parameter.name], parameter.asnumpy())
        assert same == parameter.name.startswith("first."), parameter.name


# Calls with NaN or infinity.

ALL = {"clip_norm": 0.1, "accumulate_steps": 2, "drop_path": 0.3}
BAD = with_pixel(np.nan)


def small_step(opt="momentum", use_nesterov=False, *, drop_path=0.0, loss=None, clip_norm=None, **options) -> TrainStep:
    ms.set_seed(5)
    network = Small(drop_path)
    lr = [0.1 / (1 + update) for update in range(10)]
    optimizer = create_optimizer(network, opt, lr=lr, weight_decay=0.01, use_nesterov=use_nesterov)
    clip = clip_of(optimizer, clip_norm)
    step = TrainStep(network, loss or create_loss("CE"), optimizer, clip=clip, **options)
    step.set_train(True)
    return step


def state_of(step) -> dict[str, np.ndarray]:
    """Return copies of everything that a call may change, except the counters of calls."""
    cells = [("network", step.network), ("optimizer", step.optimizer)]
    state = {(part, p.name): p for part, cell in cells for p in cell.get_parameters() if not p.name.endswith("draws")}
    if step.accumulate_steps > 1:
        state |= {("sums", p.name): p for p in (*step.sums, step.added)}
    return {name: p.asnumpy().copy() for name, p in state.items()}


def assert_equal_states(actual, expected):
    assert actual.keys() == expected.keys()
    changed = [name for name in actual if not np.array_equal(actual[name], expected[name])]
    assert not changed


def run(step, batches) -> list[bool]:
    return [bool(step(*batch)[1].asnumpy()) for batch in batches]


@pytest.mark.parametrize("accumulate_steps", [1, 2])
def test_a_step_returns_a_float32_loss_and_whether_it_was_finite_and_updated(mode, accumulate_steps):
    step = small_step(accumulate_steps=accumulate_steps)
    loss, finite, updated, overflow = step(*GOOD[0])
    assert (loss.shape, loss.dtype) == ((), ms.float32)
    assert all((flag.shape, flag.dtype) == ((), ms.bool_) for flag in (finite, updated, overflow))
    assert finite.asnumpy() and not overflow.asnumpy()
    assert updated.asnumpy() == (accumulate_steps == 1) and step.updates == updated.asnumpy()
    assert step(*GOOD[1]).updated.asnumpy() and step.updates == 2 // accumulate_steps


class UnguardedStep:
    """A training step without checks: gradients, their average over calls, and the update."""

    def __init__(self, step: TrainStep) -> None:
        self.network, self.optimizer, self.accumulate_steps = step.network, step.optimizer, step.accumulate_steps
        self.clip = step.clip

        def loss(images, labels):
            return step.loss(step.network(images), labels)

        self.gradients = ms.value_and_grad(loss, None, step.optimizer.parameters)
        self.sums, self.calls = None, 0

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        loss, gradients = self.gradients(images, labels)
        if self.accumulate_steps > 1:
            scaled = [gradient * (1.0 / self.accumulate_steps) for gradient in gradients]
            self.sums = [total + new for total, new in zip(self.sums, scaled, strict=True)] if self.sums else scaled
        self.calls += 1
        if self.calls % self.accumulate_steps == 0:
            gradients, self.sums = tuple(self.sums or gradients), None
            self.optimizer(self.clip(gradients) if self.clip else gradients)
        return loss


@pytest.mark.parametrize(
    "opt, use_nesterov, options",
    [("sgd", False, {}), ("momentum", False, ALL), ("momentum", True, {}), ("adam", False, ALL), ("adamw", False, {})],
)
def test_finite_steps_equal_those_without_checks(opt, use_nesterov, options):
    ms.set_context(mode=ms.PYNATIVE_MODE)  # the plain step needs no Cell here; both modes have the same construct
    try:
        step, plain = small_step(opt, use_nesterov, **options), small_step(opt, use_nesterov, **options)
        start, unguarded = state_of(step), UnguardedStep(plain)
        for batch in GOOD[:4]:
            assert unguarded(*batch).asnumpy() == step(*batch).loss.asnumpy()
        trained = {name: array for name, array in state_of(step).items() if name[0] != "sums"}
        assert_equal_states(trained, {name: array for name, array in state_of(plain).items() if name[0] != "sums"})
        moved = [name for name, before in start.items() if not np.array_equal(before, state_of(step)[name])]
        assert {("optimizer", "global_step"), ("network", "first.bn.moving_variance")} <= set(moved)
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize(
    "opt, use_nesterov, clip_norm",
    [
        ("momentum", False, None),
        ("adamw", False, 0.1),
        slow("sgd", False, 0.1),
        slow("momentum", True, 0.1),
        slow("adam", False, None),
    ],
)
def test_a_bad_step_changes_nothing(mode, opt, use_nesterov, clip_norm):
    step, undisturbed = (small_step(opt, use_nesterov, clip_norm=clip_norm) for _ in range(2))
    assert run(step, [GOOD[0]]) == [True]
    before = state_of(step)
    assert run(step, [BAD, BAD]) == [False, False]
    assert_equal_states(state_of(step), before)
    assert run(step, GOOD[1:4]) == [True] * 3
    assert run(undisturbed, GOOD[:4]) == [True] * 4
    assert_equal_states(state_of(step), state_of(undisturbed))


def test_a_bad_first_step_leaves_the_initial_state(mode):
    step = small_step()
    before = state_of(step)
    assert run(step, [BAD]) == [False]
    assert_equal_states(state_of(step), before)


@pytest.mark.parametrize("value", [np.inf, 1e30])
def test_infinite_statistics_are_noticed_with_finite_loss_and_gradients(mode, value):
    """If an activation's square overflows, the variance is infinite and the normalised value 0."""
    step = small_step()
    before = state_of(step)
    assert run(step, [with_pixel(value)]) == [False]
    assert_equal_states(state_of(step), before)
    step.network.set_train()
    step.network(with_pixel(value)[0])
    assert not np.isfinite(step.network.first.bn.moving_variance.asnumpy()).all()


def test_an_infinite_gradient_of_a_finite_loss_is_noticed(mode):
    def root(logits, labels):
        return ops.sqrt((logits * logits).sum(axis=1) + labels).mean()

    step = small_step(loss=root)
    step.network.classifier.weight.set_data(Tensor(np.zeros((3, 8), np.float32)))
    step.network.classifier.bias.set_data(Tensor(np.zeros(3, np.float32)))
    before = state_of(step)
    loss, finite, *_ = step(GOOD[0][0], Tensor(np.zeros(4, np.float32)))  # the slope of a root at 0
    assert (loss.asnumpy(), bool(finite.asnumpy())) == (0.0, False)
    assert_equal_states(state_of(step), before)
    assert run(step, [(GOOD[0][0], Tensor(np.ones(4, np.float32)))]) == [True]


def test_large_finite_gradients_count_as_finite(mode):
    def loss(logits, labels):
        return logits.mean() * 1e37

    step = small_step(loss=loss, clip_norm=1.0)
    assert run(step, [GOOD[0]]) == [True]


@in_both_modes("place", [0, 1, 2], compiled=[], by_default=[1])
def test_a_bad_batch_adds_nothing_to_the_accumulated_gradient(mode, place):
    step = small_step("adam", accumulate_steps=3, clip_norm=0.1)
    batches = [*GOOD[:3], *GOOD[3:5]]
    batches.insert(3 + place, BAD)  # the second update has two good batches
    assert run(step, batches) == [True] * (3 + place) + [False] + [True] * (2 - place)
    assert step.calls.asnumpy() == 6
    assert step.optimizer.global_step.asnumpy() == 2

    expected = small_step("adam", accumulate_steps=3, clip_norm=0.1)
    run(expected, GOOD[:5])
    sums = tuple(Tensor(total.asnumpy()) for total in expected.sums)
    expected.optimizer(expected.clip(sums))  # as the sixth call does after its batch
    for parameter, want in zip(step.optimizer.parameters, expected.optimizer.parameters, strict=True):
        np.testing.assert_array_equal(parameter.asnumpy(), want.asnumpy())
    assert not any(total.asnumpy().any() for total in step.sums)


def test_an_update_of_bad_batches_only_is_skipped(mode):
    step = small_step("adamw", accumulate_steps=2)
    run(step, GOOD[:2])
    before = state_of(step)
    assert run(step, [BAD, BAD]) == [False, False]
    assert_equal_states(state_of(step), before)
    assert step.calls.asnumpy() == 4
    assert run(step, GOOD[2:4]) == [True, True]
    assert step.optimizer.global_step.asnumpy() == 2


def test_the_draws_of_drop_layers_count_bad_calls_too(mode):
    step = small_step(drop_path=0.5)
    run(step, [GOOD[0], BAD, GOOD[1]])
    assert step.network.drop_path.draws.asnumpy() == 3


def test_a_bad_step_changes_nothing_without_batch_norm(mode):
    step = make_step()
    images = IMAGES.copy()
    images[4, 2] = np.nan
    assert run(step, [(Tensor(images), Tensor(LABELS))]) == [False]
    np.testing.assert_array_equal(step.network.weight.asnumpy(), WEIGHT)
    assert run(step, [(Tensor(IMAGES), Tensor(LABELS))]) == [True]
    assert not np.array_equal(step.network.weight.asnumpy(), WEIGHT)


@COMPILED_LATER
def test_a_bad_step_changes_nothing_in_an_sk_network(mode, tiny_network):
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((8, 3, 16, 16)).astype(np.float32), rng.integers(0, 10, 8).astype(np.int32)
    network = tiny_network(drop_rate=0.1, drop_path_rate=0.1)
    optimizer = create_optimizer(network, "momentum", lr=0.05)
    step = TrainStep(network, create_loss("CE"), optimizer)
    step.set_train(True)
    assert run(step, [(Tensor(images), Tensor(labels))]) == [True]
    before = state_of(step)
    images[3, 1, 4, 5] = np.nan
    assert run(step, [(Tensor(images), Tensor(labels))]) == [False]
    assert_equal_states(state_of(step), before)
