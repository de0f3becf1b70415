"""Every optimizer goes through the same test: against PyTorch or timm and NumPy in float64, in both modes, with a
schedule, groups with their own rate and decay, and a state that is complete.
"""

from functools import partial

import numpy as np
import pytest
import reference_optim
from goldens import optim_recipe
from mindspore import Parameter, Tensor, nn, ops
from tiers import COMPILED_LATER, full

from mindcv.engine.device_step import Undoing
from mindcv.optim import OPTIMIZERS, create_optimizer
from mindcv.optim.optimizer import Optimizer

SGD = reference_optim.sgd
# The equations in NumPy, where they are not called like the optimizer.
REFERENCES = {"momentum": SGD, "nesterov": partial(SGD, nesterov=True), "rmsproptf": reference_optim.rmsprop}
RENAMED = {"rmsprop_rho": "rho"}
HALF = optim_recipe.UPDATES // 2


class Weights(nn.Cell):
    def __init__(self):
        super().__init__()
        for name, value in zip(optim_recipe.SHAPES, optim_recipe.start(), strict=True):
            setattr(self, name, Parameter(Tensor(value), name))

    def depth_groups(self):
        return [["weight"], ["gamma", "alphabeta"], ["bias"]]


def build(opt):
    settings = {"weight_decay": 0.1, "weight_decay_filter": "norm_and_bias", "layer_decay": 0.5, "head_lr_scale": 4.0}
    return create_optimizer(Weights(), opt, lr=optim_recipe.RATES, **settings, **optim_recipe.OPTIONS[opt])


def state_of(optimizer):
    return {param.name: param.asnumpy().copy() for param in optimizer.get_parameters()}


def flat(values):
    return np.concatenate([np.ravel(value) for value in values])


def numpy_reference(opt):
    """The parameters after the updates that the goldens hold."""
    update = REFERENCES.get(opt) or getattr(reference_optim, opt)
    options = {RENAMED.get(key, key): value for key, value in optim_recipe.OPTIONS[opt].items()}
    gradients, kept = optim_recipe.gradients(), []
    for number in [after + 1 for after in optim_recipe.KEPT]:
        columns = zip(optim_recipe.start(), optim_recipe.SCALES, optim_recipe.DECAYS, strict=True)
        updated = []
        for i, (value, scale, decay) in enumerate(columns):  # each as if it had its own optimizer
            rates = [rate * scale for rate in optim_recipe.RATES[:number]]
            updated += update([value], [[grads[i]] for grads in gradients[:number]], rates, [decay], **options)
        kept.append(flat(updated))
    return np.array(kept)


def test_every_registered_optimizer_has_a_golden():
    assert set(optim_recipe.OPTIONS) == set(OPTIMIZERS.names()) == set(np.load(optim_recipe.GOLDENS))


@pytest.mark.parametrize("opt", optim_recipe.OPTIONS)
def test_the_equations_in_numpy_are_those_of_pytorch(opt):
    golden = np.load(optim_recipe.GOLDENS)[opt]
    np.testing.assert_allclose(numpy_reference(opt), golden, rtol=0, atol=1e-7)


@pytest.mark.parametrize("opt", optim_recipe.OPTIONS)
def test_twenty_updates_are_pytorchs_and_the_state_continues_them_to_the_last_bit(mode, opt):
    optimizer, gradients = build(opt), [tuple(map(Tensor, grads)) for grads in optim_recipe.gradients()]
    states = {}
    for number, grads in enumerate(gradients):
        optimizer(grads)
        if number in (*optim_recipe.KEPT, HALF - 1):
            states[number] = state_of(optimizer)
    kept = [flat(states[number][name] for name in optim_recipe.SHAPES) for number in optim_recipe.KEPT]
    np.testing.assert_allclose(kept, np.load(optim_recipe.GOLDENS)[opt], rtol=0, atol=2e-6)

    assert len(states[HALF - 1]) == len(list(optimizer.get_parameters()))  # no two have the same name
    for param in optimizer.get_parameters():
        ops.assign(param, Tensor(states[HALF - 1][param.name]))
    for grads in gradients[HALF:]:
        optimizer(grads)
    for name, value in state_of(optimizer).items():
        np.testing.assert_array_equal(value, states[optim_recipe.UPDATES - 1][name], err_msg=name)


def assert_equal_states(optimizer, expected):
    for (name, value), (_, want) in zip(state_of(optimizer).items(), state_of(expected).items(), strict=True):
        np.testing.assert_array_equal(value, want, err_msg=name)


@COMPILED_LATER
@pytest.mark.parametrize("opt", full(optim_recipe.OPTIONS, by_default=["momentum", "adamw", "adan", "nesterov"]))
def test_a_device_can_leave_out_an_update_and_those_before_and_after_are_the_same(mode, opt):
    optimizer, expected = build(opt), build(opt)
    where = optimizer if isinstance(optimizer, Optimizer) else Undoing(optimizer)
    for grads in optim_recipe.gradients()[:3]:
        where(tuple(Tensor(np.full_like(grad, np.nan)) for grad in grads), Tensor(False))
        assert_equal_states(optimizer, expected)
        where(tuple(map(Tensor, grads)), Tensor(True))
        expected(tuple(map(Tensor, grads)))
        assert_equal_states(optimizer, expected)


@pytest.mark.parametrize("opt", full(["adamw", "lamb", "adan"], by_default=["lamb"]))
def test_bias_correction_makes_the_first_update_as_large_as_the_rate(mode, opt):
    """Which also holds the rounding of 1 - beta and of 1 - beta^t together: 0.999 in float32 is off by a 75000th."""
    gradient = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
    param = Parameter(Tensor(np.zeros((3, 4), np.float32)), "weight")
    create_optimizer([param], opt, lr=1.0, eps=1e-12)((Tensor(gradient),))
    np.testing.assert_allclose(param.asnumpy(), -np.sign(gradient), rtol=0, atol=2e-6)
