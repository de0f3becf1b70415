"""`create_optimizer` beyond what every optimizer has in common (test_optimizers.py): in a training step, with one rate,
decay filters, states in new optimizers and names of states, illegal arguments.
"""

import mindspore as ms
import numpy as np
import pytest
import reference_optim
from mindspore import Parameter, Tensor, nn, ops
from tiers import full, slow

from mindcv.optim import OPTIMIZERS, create_optimizer

SHAPES = {"weight": (3, 4), "gamma": (4,), "alphabeta": (2, 3), "bias": (1,)}  # "beta" in a name must have no effect
RATES = [0.01, 0.03, 0.02, 0.015, 0.005]
REFERENCES = {"momentum": reference_optim.sgd, "adam": reference_optim.adam, "adamw": reference_optim.adamw}


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


@pytest.mark.parametrize(
    ("weight_decay_filter", "exempt"),
    [("disable", ()), slow("norm_and_bias", ("gamma", "bias")), ("auto", ("gamma",))],
)
@pytest.mark.parametrize("opt", full(REFERENCES, by_default=["momentum"]))
def test_five_training_steps_with_a_schedule_and_decay_equal_numpy(mode, opt, weight_decay_filter, exempt):
    network = Weights()
    start = network.values()
    optimizer = create_optimizer(network, opt, lr=RATES, weight_decay=0.1, weight_decay_filter=weight_decay_filter)
    update(Step(network, optimizer), random_gradients())
    decays = [0.0 if name in exempt else 0.1 for name in SHAPES]
    assert_close(network.values(), REFERENCES[opt](start, random_gradients(), RATES, decays))


@pytest.mark.parametrize("opt", full(REFERENCES, by_default=["momentum", "adamw"]))
def test_each_depth_group_learns_at_its_own_constant_rate(opt):
    """As if every parameter had its own NumPy optimizer."""
    ms.set_context(mode=ms.GRAPH_MODE)
    network = Weights()
    start, gradients = network.values(), random_gradients()
    optimizer = create_optimizer(network, opt, lr=0.02, weight_decay=0.1, layer_decay=0.5, head_lr_scale=4.0)
    update(Step(network, optimizer), gradients)
    expected = []
    for i, scale in enumerate([0.25, 0.5, 0.5, 4.0]):
        expected += REFERENCES[opt]([start[i]], [[grads[i]] for grads in gradients], [0.02 * scale] * 5, [0.1])
    assert_close(network.values(), expected)


@pytest.mark.parametrize("opt", full(REFERENCES, by_default=["adam", "adamw"]))
def test_a_single_rate_applies_to_every_update(opt):
    ms.set_context(mode=ms.GRAPH_MODE)
    network = Weights()
    start = network.values()
    update(Step(network, create_optimizer(network, opt, lr=0.02)), random_gradients(7))
    assert_close(network.values(), REFERENCES[opt](start, random_gradients(7), [0.02] * 7, [0.0] * 4))


# MindSpore's and ours only: formatting the error takes seconds.
@pytest.mark.parametrize("opt", full(OPTIMIZERS.names(), by_default=["momentum", "adamw"]))
def test_an_update_beyond_the_schedule_raises_and_changes_no_parameter(mode, opt):
    network = Weights()
    step = Step(network, create_optimizer(network, opt, lr=RATES[:2]))
    update(step, random_gradients(2))
    before = network.values()
    with pytest.raises(RuntimeError, match=r"range \[0, 2\), but got 2"):
        update(step, random_gradients(1))
    for a, b in zip(network.values(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("opt", full(OPTIMIZERS.names(), by_default=["momentum", "nadam"]))
def test_state_restored_into_a_new_optimizer_continues_bit_identically(mode, opt):
    gradients, networks, states = random_gradients(), [], []
    for first, last in ((0, 5), (0, 2), (2, 5)):
        network = Weights()
        optimizer = create_optimizer(network, opt, lr=RATES, weight_decay=0.1, layer_decay=0.5)
        params = list(optimizer.get_parameters())
        for param in params if first else ():
            param.set_data(Tensor(states[-1][param.name]))
        update(Step(network, optimizer), gradients[first:last])
        networks.append(network)
        states.append({param.name: param.asnumpy().copy() for param in params})
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[2][name], err_msg=name)


STATES = {
    "sgd": (["moments"], ["momentum"]),
    "momentum": (["moments"], ["momentum"]),
    "nesterov": (["accum", "stat"], ["momentum"]),
    "adam": (["moment1", "moment2"], ["beta1_power", "beta2_power"]),
    "adamw": (["moment1", "moment2"], []),
    "nadam": (["moment1", "moment2"], ["mu_product"]),
    "rmsprop": (["mean_square", "moment"], []),
    "rmsproptf": (["mean_square", "moment"], []),
    "rmsprop_torch": (["mean_square", "moment"], []),
    "adagrad": (["accum"], []),
    "lamb": (["moment1", "moment2"], []),
    "lars": (["moments"], []),
    "lion": (["moment"], []),
    "adan": (["moment", "slope", "square", "last_gradient"], []),
}


@pytest.mark.parametrize("opt", OPTIMIZERS.names())
def test_state_names_are_those_in_checkpoints(opt):
    per_parameter, shared = STATES[opt]
    optimizer = create_optimizer(Weights(), opt, lr=RATES)
    expected = {"global_step", "learning_rate", *shared, *SHAPES}
    expected |= {f"{prefix}.{name}" for prefix in per_parameter for name in SHAPES}
    names = [param.name for param in optimizer.get_parameters()]
    assert set(names) == expected and len(names) == len(expected)


def test_nesterov_is_an_option_and_a_name():
    kinds = {
        type(create_optimizer(Weights(), opt, lr=0.1, use_nesterov=True)) for opt in ("sgd", "momentum", "nesterov")
    }
    assert [kind.__name__ for kind in kinds] == ["SGD"]


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
        ("momentum", {"weight_decay_filter": "norm"}, "must be 'disable' or .* or 'auto'; got 'norm'. Did you mean"),
        ("adam", {"use_nesterov": True}, "use_nesterov=True needs opt=sgd or momentum, .* got opt=adam"),
        ("adamw", {"use_nesterov": True}, "use_nesterov=True needs opt=sgd or momentum, .* got opt=adamw"),
        ("adam", {"betas": (0.9, 1.0)}, r"betas must be 2 or 3 numbers in \(0, 1\); got \(0.9, 1.0\)"),
        ("adamw", {"betas": (0.9,)}, r"betas must be 2 or 3 numbers in \(0, 1\); got \(0.9,\)"),
        ("adan", {"betas": (0.9, 0.99)}, r"betas=\(0.9, 0.99\) must be 3 numbers for opt=adan"),
        ("lion", {"betas": (0.9, 0.9, 0.9)}, r"betas=\(0.9, 0.9, 0.9\) must be 2 numbers for opt=lion"),
        ("rmsprop", {"rmsprop_rho": 1.0}, r"rmsprop_rho must be a number in \(0, 1\); got 1.0"),
        ("lars", {"trust_coeff": 0.0}, "trust_coeff must be a number > 0; got 0.0"),
        ("lars", {"trust_coef": 0.1}, "unknown option of an optimizer 'trust_coef'. Did you mean 'trust_coeff'"),
        ("adamw", {"eps": 0.0}, "eps must be a number > 0; got 0.0"),
        ("adamw", {"layer_decay": 1.5}, r"layer_decay must be a number in \(0, 1\]; got 1.5"),
        ("momentum", {"head_lr_scale": -1.0}, "head_lr_scale must be a number > 0; got -1.0"),
    ],
)
def test_an_illegal_argument_is_named_with_its_value(opt, arguments, message):
    with pytest.raises(ValueError, match=message):
        create_optimizer(Weights(), opt, **{"lr": 0.1, **arguments})
