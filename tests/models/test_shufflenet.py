"""ShuffleNetV2 against torchvision with the same weights, and the light networks' cost against the papers' tables.

The goldens are float64 (goldens/make_torchvision_goldens.py); errors are relative to the largest golden logit, and for
gradients and statistics to their norm, with the tolerances of test_goldens.py.
"""

import gc
from functools import partial
from pathlib import Path

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
from mindspore import Tensor, nn
from model_table import multiply_adds
from random_weights import random_network
from tiers import COMPILED_LATER, slow

from mindcv.export import export_network
from mindcv.models import create_model, without_initial_weights
from mindcv.models.layers import SelectiveKernel, SqueezeExcite
from mindcv.models.shufflenet import ShuffleUnit
from mindcv.weights.renaming import rename

GOLDENS = Path(__file__).parents[1] / "goldens" / "torchvision_goldens.npz"
SHALLOW = recipe.shallow("shufflenet_v2_x0_5")
LAYERS = recipe.SHUFFLENETS[SHALLOW][1]
# Our names -> torchvision's; it numbers convolutions, norms and ReLUs of a branch in one sequence.
RULES = [
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.moving_mean$", ".running_mean"),
    (r"\.moving_variance$", ".running_var"),
    (r"^classifier\.", "fc."),
    (r"^stem\.", "conv1."),
    (r"^stages\.3\.0\.", "conv5."),
    (r"^(conv[15])\.(conv|bn)\.", lambda m: f"{m[1]}.{int(m[2] == 'bn')}."),
    (r"^stages\.(\d)\.", lambda m: f"stage{int(m[1]) + 2}."),
    (r"\.shortcut\.([01])\.(conv|bn)\.", lambda m: f".branch1.{2 * int(m[1]) + (m[2] == 'bn')}."),
    (r"\.conv([123])\.(conv|bn)\.", lambda m: f".branch2.{(0, 3, 5)[int(m[1]) - 1] + (m[2] == 'bn')}."),
]


@pytest.fixture(autouse=True)
def free_networks():
    yield
    gc.collect()


def golden(name, quantity):
    with np.load(GOLDENS) as arrays:
        return arrays[f"{name}/{quantity}"].astype(np.float64)


def build(name):
    """The network with the recipe's weights, and torchvision's name of each parameter."""
    layers = {"layers": LAYERS} if name == SHALLOW else {}
    with without_initial_weights():
        network = create_model(name.removeprefix(recipe.shallow("")), num_classes=recipe.NUM_CLASSES, **layers)
    names = rename((parameter.name for parameter in network.get_parameters()), RULES)
    for parameter in network.get_parameters():
        parameter.set_data(Tensor(recipe.weight(names[parameter.name], parameter.shape)))
    return network, names


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *(("pynative", name) for name in recipe.SHUFFLENETS),
        *(slow("graph", name) for name in recipe.SHUFFLENETS),
    ],
    indirect=["mode"],
)
def test_evaluation_gives_torchvisions_logits(mode, name):
    network, _ = build(name)
    assert_logits_equal(
        network.set_train(False)(Tensor(recipe.images(name))).asnumpy(), golden(name, "evaluation_logits")
    )


@COMPILED_LATER
def test_training_gives_torchvisions_logits_loss_gradients_and_statistics(mode):
    network, names = build(SHALLOW)
    step = TrainingPass(network).set_train()
    (loss, logits), gradients = step(Tensor(recipe.images(SHALLOW)), Tensor(recipe.labels()))
    assert_logits_equal(logits.asnumpy(), golden(SHALLOW, "training_logits"))
    assert float(loss) == pytest.approx(float(golden(SHALLOW, "training_loss")), rel=LOGITS_TOLERANCE)
    by_name = {names[p.name]: g.asnumpy() for p, g in zip(network.trainable_params(), gradients, strict=True)}
    pairs = [(name, array) for name, array in sorted(by_name.items()) if not recipe.WITHOUT_GRADIENT.match(name)]
    assert_projections_equal(pairs, golden(SHALLOW, "gradients"), GRADIENT_TOLERANCE)
    statistics = {names[p.name]: p.asnumpy() for p in network.get_parameters() if ".moving_" in p.name}
    assert_projections_equal(sorted(statistics.items()), golden(SHALLOW, "statistics"), STATISTICS_TOLERANCE)


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "shufflenet_v2_x1_0"])
def test_parameters_are_as_many_as_torchvisions(name):
    network = create_model(name)
    assert sum(parameter.size for parameter in network.trainable_params()) == int(golden(name, "parameters"))


# In M multiply-adds of convolutions and dense layers at 224x224 and 1000 classes.
@pytest.mark.parametrize(("name", "paper"), [slow("shufflenet_v2_x0_5", 41), ("shufflenet_v2_x1_0", 146)])
def test_multiply_adds_of_the_plain_networks_are_those_of_their_paper(pynative, name, paper):
    # Table 8 of Ma et al. The paper's own release widens one projection by 0.9 M: 145.8 M instead of 144.9 M.
    assert multiply_adds(create_model(name), 224) / 1e6 == pytest.approx(paper, rel=0.015)


def test_multiply_adds_of_the_light_networks_are_near_the_sknet_papers(pynative):
    """Table 4 of Li et al. has 141.73 M and 145.66 M, a difference of 3.93 M; here 145.09 M, 148.79 M and 3.70 M.

    The plain network alone has 144.91 M here, and 146 M in its own paper: more than table 4 has for SE. So the totals
    there were of another plain network or counted otherwise, which is not known; they agree to 2.5 %. The difference
    between SK and SE depends on that less. Tried were kernels in the units of stride 1 only (2.94 M); in all units,
    with the SKNet's r=16 and L=32 (3.70 M), r=4 without L (3.75 M) or r=2 (4.00 M); and in the projections as well
    (4.2 M). Chosen is what the paper uses elsewhere, not the nearest number.
    """
    squeezed, selective = (multiply_adds(create_model(f"{kind}shufflenet_v2_x1_0"), 224) / 1e6 for kind in ("se", "sk"))
    assert squeezed == pytest.approx(141.73, rel=0.025)
    assert selective == pytest.approx(145.66, rel=0.025)
    assert selective - squeezed == pytest.approx(145.66 - 141.73, abs=0.25)


UNITS = {"plain": {}, "se": {"attention": SqueezeExcite}, "sk": {"middle_conv": SelectiveKernel}}


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize(("stride", "in_channels"), [(1, 16), (2, 6)])
def test_a_unit_alternates_the_channels_of_its_shortcut_and_branch(pynative, kind, stride, in_channels):
    unit = ShuffleUnit(in_channels, 16, stride=stride, **UNITS[kind]).set_train(False)
    x = np.random.default_rng(0).standard_normal((2, in_channels, 7, 6)).astype(np.float32)
    first, second = (x[:, :8], x[:, 8:]) if stride == 1 else (x, x)
    branch = unit.conv3(unit.conv2(unit.conv1(Tensor(second)))).asnumpy()
    shortcut = first if stride == 1 else unit.shortcut(Tensor(first)).asnumpy()
    expected = np.empty((2, 16, *branch.shape[2:]), np.float32)
    expected[:, 0::2], expected[:, 1::2] = shortcut, branch
    if kind == "se":
        expected *= unit.attention.gate(Tensor(expected)).asnumpy()[:, :, None, None]
    assert isinstance(unit.conv2, SelectiveKernel) == (kind == "sk")
    np.testing.assert_allclose(unit(Tensor(x)).asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_every_3x3_convolution_has_one_group_per_channel():
    network = create_model("skshufflenet_v2_x0_5")
    spatial = [c for _, c in network.cells_and_names() if isinstance(c, nn.Conv2d) and c.kernel_size == (3, 3)]
    assert len(spatial) == 1 + 3 + 2 * 16  # stem, projections, two branches of each unit
    assert all(conv.group == conv.in_channels == conv.out_channels for conv in spatial[1:])
    assert {conv.dilation for conv in spatial} == {(1, 1), (2, 2)}


@pytest.mark.parametrize(
    ("kind", "suffix"), [("sk", ".onnx"), slow("se", ".mindir"), slow("se", ".onnx"), slow("sk", ".mindir")]
)
def test_the_light_networks_export(pynative, tmp_path, kind, suffix):
    build = partial(random_network, f"{kind}shufflenet_v2_x0_5", layers=LAYERS, device_forms=False)
    result = export_network(build, tmp_path / f"network{suffix}", input_size=(3, 33, 32), info={})
    assert result.difference < 1e-5


def test_stochastic_depth_is_rejected():
    with pytest.raises(ValueError, match=r"drop_path_rate must be 0 for ShuffleNetV2, got 0\.1: .*Use drop_rate"):
        create_model("shufflenet_v2_x0_5", drop_path_rate=0.1)
