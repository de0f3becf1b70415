"""Every optimizer against NumPy in float64, both modes, with schedule, groups, weight decay and Nesterov."""

from functools import partial

import mindspore as ms
import numpy as np
import pytest
import reference_optim
from mindspore import Parameter, Tensor, nn, ops

from mindcv.optim import OPTIMIZERS, create_optimizer

SHAPES = {"weight": (3, 4), "gamma": (4,), "alphabeta": (2, 3), "bias": (1,)}  # "beta" in a name must have no effect
RATES = [0.01, 0.03, 0.02, 0.015, 0.005]

# opt, further arguments, reference
CASES = {
    "sgd": ("sgd", {"momentum": 0.0}, partial(reference_optim.sgd, momentum=0.0)),
    "sgd nesterov": ("sgd", {"use_nesterov": True}, partial(reference_optim.sgd, nesterov=True)),
    "momentum": ("momentum", {}, reference_optim.sgd),
    "momentum nesterov": (
        "momentum",
        {"momentum": 0.8, "use_nesterov": True},
        partial(reference_optim.sgd, momentum=0.8, nesterov=True),
    ),
    "adam": ("adam", {}, reference_optim.adam),
    "adam set": (
        "adam",
        {"betas": (0.8, 0.95), "eps": 1e-3},
        partial(reference_optim.adam, betas=(0.8, 0.95), eps=1e-3),
    ),
    "adamw": ("adamw", {}, reference_optim.adamw),
    "adamw set": (
        "adamw",
        {"betas": (0.8, 0.95), "eps": 1e-3},
        partial(reference_optim.adamw, betas=(0.8, 0.95), eps=1e-3),
    ),
}
IMPLEMENTATIONS = ["momentum", "momentum nesterov", "adam", "adamw"]  # one of each class that the factory builds


class Weights(nn.Cell):
    """Returns the sum of all parameters times the given factors, which are then the gradients."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        for name, shape in SHAPES.items():
            setattr(self, name, Parameter(Tensor(rng.normal(size=shape).astype(np.float32)), name))

    def construct(self, weight, gamma, alphabeta, bias):
        return (
            (self.weight * weight).sum()
            + (self.gamma * gamma).sum()
            + (self.alphabeta * alphabeta).sum()
            + (self.bias * bias).sum()
        )

    def depth_groups(self):
        return [["weight"], ["gamma", "alphabeta"], ["bias"]]

    def values(self):
        return [getattr(self, name).asnumpy().copy() for name in SHAPES]


class Step(nn.Cell):
    """A training step of the form the toolkit uses."""

    def __init__(self, network, optimizer):
        super().__init__(auto_prefix=False)
        self.network, self.optimizer = network, optimizer
        self.value_and_grad = ms.value_and_grad(network, None, optimizer.parameters)

    def construct(self, *factors):
        loss, grads = self.value_and_grad(*factors)
        return ops.depend(loss, self.optimizer(grads))


def random_gradients(num_updates=5):
    rng = np.random.default_rng(1)
    return [[rng.normal(size=shape).astype(np.float32) for shape in SHAPES.values()] for _ in range(num_updates)]


def update(step, gradients):
    for grads in gradients:
        step(*map(Tensor, grads))


def assert_close(actual, expected):
    # 1e-6 of the largest parameter: five updates of a few float32 operations each, 1e-7 apiece.
    for name, a, b in zip(SHAPES, actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * max(abs(b).max(), 1), err_msg=name)


def test_every_registered_optimizer_has_a_case():
    assert {opt for opt, _, _ in CASES.values()} == set(OPTIMIZERS.names())


@pytest.mark.parametrize("weight_decay_filter", ["disable", "norm_and_bias"])
@pytest.mark.parametrize("case", CASES)
def test_five_updates_with_a_schedule_and_decay_equal_numpy(mode, case, weight_decay_filter):
    opt, arguments, reference = CASES[case]
    network = Weights()
    start = network.values()
    optimizer = create_optimizer(
        network, opt, lr=RATES, weight_decay=0.1, weight_decay_filter=weight_decay_filter, **arguments
    )
    decays = [0.1 if weight_decay_filter == "disable" or len(shape) > 1 else 0.0 for shape in SHAPES.values()]
    update(Step(network, optimizer), random_gradients())
    assert_close(network.values(), reference(start, random_gradients(), RATES, decays))


@pytest.mark.parametrize("lr", [RATES, 0.02], ids=["schedule", "one rate"])
@pytest.mark.parametrize("case", IMPLEMENTATIONS)
def test_each_depth_group_learns_at_its_own_rate_with_its_own_decay(mode, case, lr):
    """As if every parameter had its own NumPy optimizer."""
    opt, arguments, reference = CASES[case]
    network = Weights()
    start, gradients = network.values(), random_gradients()
    optimizer = create_optimizer(
        network,
        opt,
        lr=lr,
        weight_decay=0.1,
        weight_decay_filter="norm_and_bias",
        layer_decay=0.5,
        head_lr_scale=4.0,
        **arguments,
    )
    update(Step(network, optimizer), gradients)
    expected = []
    for i, (scale, decay) in enumerate([(0.25, 0.1), (0.5, 0.0), (0.5, 0.1), (4.0, 0.0)]):
        rates = [scale * rate for rate in (lr if isinstance(lr, list) else [lr] * 5)]
        expected += reference([start[i]], [[grads[i]] for grads in gradients], rates, [decay])
    assert_close(network.values(), expected)


@pytest.mark.parametrize("case", IMPLEMENTATIONS)
def test_restored_state_with_scaled_rates_continues_bit_identically(case):
    ms.set_context(mode=ms.GRAPH_MODE)
    opt, arguments, _ = CASES[case]
    gradients, networks, states = random_gradients(), [], []
    for first, last in ((0, 5), (0, 2), (2, 5)):
        network = Weights()
        optimizer = create_optimizer(network, opt, lr=RATES, layer_decay=0.5, **arguments)
        params = list(optimizer.get_parameters())
        assert len({param.name for param in params}) == len(params)
        for param in params if first else ():
            param.set_data(Tensor(states[-1][param.name]))
        update(Step(network, optimizer), gradients[first:last])
        networks.append(network)
        states.append({param.name: param.asnumpy().copy() for param in params})
    for a, b in zip(networks[0].values(), networks[2].values(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", IMPLEMENTATIONS)
def test_a_single_rate_applies_to_every_update(case):
    ms.set_context(mode=ms.GRAPH_MODE)
    opt, arguments, reference = CASES[case]
    network = Weights()
    start = network.values()
    update(Step(network, create_optimizer(network, opt, lr=0.02, **arguments)), random_gradients(7))
    assert_close(network.values(), reference(start, random_gradients(7), [0.02] * 7, [0.0] * 4))


@pytest.mark.parametrize("case", ["momentum", "adamw"])  # MindSpore's and ours only: formatting the error takes seconds
def test_an_update_beyond_the_schedule_raises_and_changes_no_parameter(mode, case):
    opt, arguments, _ = CASES[case]
    network = Weights()
    step = Step(network, create_optimizer(network, opt, lr=RATES[:2], **arguments))
    update(step, random_gradients(2))
    before = network.values()
    with pytest.raises(RuntimeError, match=r"range \[0, 2\), but got 2"):
        update(step, random_gradients(1))
    for a, b in zip(network.values(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", IMPLEMENTATIONS)
def test_state_restored_into_a_new_optimizer_continues_bit_identically(mode, case):
    opt, arguments, _ = CASES[case]
    gradients = random_gradients()
    whole = Weights()
    optimizer = create_optimizer(whole, opt, lr=RATES, weight_decay=0.1, **arguments)
    step = Step(whole, optimizer)
    update(step, gradients[:2])
    state = {param.name: param.asnumpy().copy() for param in optimizer.get_parameters()}
    update(step, gradients[2:])

    resumed = Weights()
    optimizer = create_optimizer(resumed, opt, lr=RATES, weight_decay=0.1, **arguments)
    params = list(optimizer.get_parameters())
    assert len({param.name for param in params}) == len(params)
    assert {param.name for param in params} == set(state)
    for param in params:
        param.set_data(Tensor(state[param.name]))
    update(Step(resumed, optimizer), gradients[2:])
    for a, b in zip(whole.values(), resumed.values(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("case", "per_parameter", "shared"),
    [
        ("momentum", ["moments"], ["momentum"]),
        ("sgd nesterov", ["accum", "stat"], ["momentum"]),
        ("adam", ["moment1", "moment2"], ["beta1_power", "beta2_power"]),
        ("adamw", ["moment1", "moment2"], []),
    ],
)
def test_state_names_are_those_in_checkpoints(case, per_parameter, shared):
    opt, arguments, _ = CASES[case]
    optimizer = create_optimizer(Weights(), opt, lr=RATES, **arguments)
    expected = {"global_step", "learning_rate", *shared, *SHAPES}
    expected |= {f"{prefix}.{name}" for prefix in per_parameter for name in SHAPES}
    assert {param.name for param in optimizer.get_parameters()} == expected


@pytest.mark.parametrize(
    ("opt", "arguments", "message"),
    [
        ("momentun", {}, "unknown optimizer 'momentun'.*Did you mean 'momentum'"),
        ("momentum", {"lr": -0.1}, "lr must be a number of at least 0.*got -0.1"),
        ("momentum", {"lr": []}, "lr must be a number .* got \\[\\]"),
        ("momentum", {"lr": [0.1, float("nan")]}, "lr must be a number .*nan"),
        ("momentum", {"weight_decay": -1e-4}, "weight_decay must be a number >= 0; got -0.0001"),
        ("momentum", {"momentum": 1.0}, r"momentum must be a number in \[0, 1\); got 1.0"),
        (
            "momentum",
            {"momentum": 0.0, "use_nesterov": True},
            "use_nesterov=True needs .* momentum above 0; got opt=momentum",
        ),
        ("momentum", {"weight_decay_filter": "norm"}, "must be 'disable' or 'norm_and_bias'; got 'norm'. Did you mean"),
        ("adam", {"use_nesterov": True}, "use_nesterov=True needs opt=sgd or momentum, .* got opt=adam"),
        ("adamw", {"use_nesterov": True}, "use_nesterov=True needs opt=sgd or momentum, .* got opt=adamw"),
        ("adam", {"betas": (0.9, 1.0)}, r"betas must be 2 numbers in \(0, 1\); got \(0.9, 1.0\)"),
        ("adamw", {"betas": (0.9,)}, r"betas must be 2 numbers in \(0, 1\); got \(0.9,\)"),
        ("adamw", {"eps": 0.0}, "eps must be a number > 0; got 0.0"),
        ("adamw", {"layer_decay": 1.5}, r"layer_decay must be a number in \(0, 1\]; got 1.5"),
        ("momentum", {"head_lr_scale": -1.0}, "head_lr_scale must be a number > 0; got -1.0"),
    ],
)
def test_an_illegal_argument_is_named_with_its_value(opt, arguments, message):
    with pytest.raises(ValueError, match=message):
        create_optimizer(Weights(), opt, **{"lr": 0.1, **arguments})
