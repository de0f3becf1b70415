"""Every network against timm, in both modes, with the same weights (goldens/recipe.py).

The goldens are float64 (goldens/make_goldens.py). Tolerances are relative to the largest golden logit, and for a
gradient to its norm. PyTorch's own float32 errors: 1e-6 for logits and statistics; 5e-5 for gradients, unless one
activation falls on the other side of a ReLU's kink, which changes all gradients before it by up to 5e-3. The errors of
a wrong network are of order 1.
"""

import gc
import re

import mindspore as ms
import numpy as np
import pytest
from golden_checks import (
    GRADIENT_TOLERANCE,
    LOGITS_TOLERANCE,
    STATISTICS_TOLERANCE,
    TrainingPass,
    assert_logits_equal,
    assert_projections_equal,
)
from goldens import recipe
from mindspore import Tensor
from tiers import full

from mindcv.models import create_model, list_models, without_initial_weights
from mindcv.weights import from_timm, timm_names

MODELS = [name for name in list_models() if name in recipe.COMPARED_WITH_TIMM]
KINDS = [recipe.shallow(name) for name in recipe.KINDS]
# Training steps take 10 s each to compile.
COMPILED = [recipe.shallow("skresnext50_32x4d")]
# At full depth a graph takes minutes to compile, and contains nothing that those of KINDS do not.
FULL_DEPTH = [name for name in MODELS if name not in recipe.SAME_AS.values()]
SLOW = pytest.mark.slow
DEEPEST = (*recipe.LARGE, "resnet152", "resnext101_32x4d", "seresnext101_32x4d")
IN_BOTH_MODES = pytest.mark.parametrize(
    ("mode", "name"),
    [
        *(("graph", name) for name in COMPILED),
        *(pytest.param("graph", name, marks=SLOW) for name in KINDS if name not in COMPILED),
        *(pytest.param("pynative", name, marks=SLOW) for name in KINDS),
        *(pytest.param("pynative", name, marks=[SLOW] * (name in DEEPEST)) for name in MODELS),
        *(pytest.param("graph", name, marks=SLOW) for name in MODELS),
    ],
    indirect=["mode"],
)


@pytest.fixture(autouse=True)
def free_networks():
    yield
    gc.collect()


def golden(name, quantity):
    with np.load(recipe.GOLDENS) as arrays:
        return arrays[f"{recipe.SAME_AS.get(name, name)}/{quantity}"].astype(np.float64)


def build(name):
    """The network with the recipe's weights, loaded like timm's."""
    kind = name.removeprefix(recipe.shallow(""))
    depth = {} if kind == name else {"layers": recipe.SHALLOW}
    with without_initial_weights():
        network = create_model(kind, num_classes=recipe.NUM_CLASSES, **depth)
    shapes = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    timm_weights = {}
    for own_name, timm_name in timm_names(shapes).items():
        shape = shapes[own_name] + ((1, 1) if ".se." in timm_name and len(shapes[own_name]) == 2 else ())
        timm_weights[timm_name] = recipe.weight(timm_name, shape)
    weights = from_timm(timm_weights, network)
    for parameter in network.get_parameters():
        parameter.set_data(Tensor(weights[parameter.name]))
    return network


def kept(model, parameters):
    """Those of the (timm's name, array) pairs that are in a model's goldens, in their order."""
    return [(name, array) for name, array in sorted(parameters) if recipe.is_kept(model, name)]


def test_the_goldens_are_those_of_the_networks_that_timm_has():
    with np.load(recipe.GOLDENS) as arrays:
        made = {key.split("/")[0] for key in arrays}
    assert made == {*recipe.TIMM_MODELS, *recipe.OF_TIMMS_BLOCKS, *recipe.AT_OTHER_DEPTH, *KINDS}, (
        "generate them again: tests/goldens/make_goldens.py"
    )
    assert set(MODELS) == recipe.COMPARED_WITH_TIMM, "every one is registered"


def test_every_network_is_built_from_blocks_that_are_trained_here():
    def printed(name):
        network = create_model(name, num_classes=2, layers=(1, 2), planes=(64, 128))
        return re.sub("0x[0-9a-f]+", "", str(network))  # without the addresses of the initializers

    kinds = {printed(name) for name in recipe.KINDS}
    assert len(kinds) == len(recipe.KINDS)
    assert {name for name in MODELS if printed(name) not in kinds} == set()  # a deeper network repeats these blocks


@IN_BOTH_MODES
def test_evaluation_gives_timms_logits(mode, name):
    network = build(name).set_train(False)
    logits = network(Tensor(recipe.images(recipe.SAME_AS.get(name, name)))).asnumpy()
    assert_logits_equal(logits, golden(name, "evaluation_logits"))


@pytest.mark.parametrize("name", full([*KINDS, *FULL_DEPTH], by_default=COMPILED))
def test_every_stage_gives_timms_mean_and_deviation(name):
    # Shows which stage differs if the logits do.
    ms.set_context(mode=ms.PYNATIVE_MODE)  # no compilation; the mode does not change what a feature is
    try:
        network = build(name).set_train(False)
        features = network.forward_intermediates(Tensor(recipe.images(recipe.SAME_AS.get(name, name))))
        actual = [recipe.mean_and_std(feature.asnumpy()) for feature in features]
        np.testing.assert_allclose(actual, golden(name, "evaluation_features"), rtol=1e-5)
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *(("pynative", name) for name in KINDS),
        *(("graph", name) for name in COMPILED),
        *(pytest.param("graph", name, marks=SLOW) for name in KINDS if name not in COMPILED),
        *(pytest.param(mode, name, marks=SLOW) for name in FULL_DEPTH for mode in ("graph", "pynative")),
    ],
    indirect=["mode"],
)
def test_training_gives_timms_logits_loss_gradients_and_statistics(mode, name):
    network = build(name)
    step = TrainingPass(network).set_train()
    (loss, logits), gradients = step(Tensor(recipe.images(recipe.SAME_AS.get(name, name))), Tensor(recipe.labels()))

    assert_logits_equal(logits.asnumpy(), golden(name, "training_logits"))
    assert float(loss) == pytest.approx(float(golden(name, "training_loss")), rel=LOGITS_TOLERANCE)
    names = timm_names(parameter.name for parameter in network.get_parameters())
    parameters = network.trainable_params()
    assert [p.name for p, g in zip(parameters, gradients, strict=True) if not np.abs(g.asnumpy()).max() > 0] == []
    pairs = kept(name, ((names[p.name], g.asnumpy()) for p, g in zip(parameters, gradients, strict=True)))
    assert_projections_equal(pairs, golden(name, "gradients"), GRADIENT_TOLERANCE)
    buffers = [(names[p.name], p.asnumpy()) for p in network.get_parameters()]
    pairs = kept(name, ((timm_name, array) for timm_name, array in buffers if ".running_" in timm_name))
    assert_projections_equal(pairs, golden(name, "statistics"), STATISTICS_TOLERANCE)
