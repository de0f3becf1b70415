"""MindCV's networks, built here with the keywords of `mindcv_variant`, give MindCV's logits for the same weights.

The goldens are MindCV's own float32 results (goldens/make_mindcv_goldens.py). Errors are relative to the largest golden
logit: up to 7e-7. The error of a wrong network is above 1e-2, as the tests without the keywords show.
"""

import gc
from pathlib import Path

import numpy as np
import pytest
from goldens import recipe
from mindspore import Tensor
from tiers import slow

from mindcv.models import create_model, without_initial_weights
from mindcv.weights.from_mindcv import from_mindcv, mindcv_names, mindcv_variant

GOLDENS = Path(__file__).parents[1] / "goldens" / "mindcv_goldens.npz"
TOLERANCE = 1e-5
# More of the same blocks.
DEEPER_MODELS = [
    *("resnet34", "resnet101", "resnet152", "resnext101_32x4d", "resnext101_64x4d", "resnext152_64x4d"),
    *("seresnet34", "seresnext26_32x4d", "seresnext101_32x4d", "skresnet34"),
]
MODELS = [name for name in recipe.MINDCV_MODELS if name not in DEEPER_MODELS]
A_NAME = {"layer1.0.bn1.moving_mean": np.zeros(64)}  # enough for mindcv_variant to recognize the weights


@pytest.fixture(autouse=True)
def free_networks():
    yield
    gc.collect()


def error_of(name, **keywords):
    """How far the network with these keywords is from MindCV's logits, relative to the largest of them."""
    with without_initial_weights():
        network = create_model(name, num_classes=recipe.NUM_CLASSES, **keywords)
    shapes = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    mindcv_weights = {
        mindcv_name: recipe.mindcv_weight(mindcv_name, shapes[own_name])
        for own_name, mindcv_name in mindcv_names(shapes).items()
    }
    weights = from_mindcv(mindcv_weights, network)
    for parameter in network.get_parameters():
        parameter.set_data(Tensor(weights[parameter.name]))
    actual = network.set_train(False)(Tensor(recipe.mindcv_images())).asnumpy()
    with np.load(GOLDENS) as goldens:
        expected = goldens[name]
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *(("pynative", name) for name in MODELS),
        *(slow("graph", name) for name in MODELS),
        *(slow(mode, name) for name in DEEPER_MODELS for mode in ("graph", "pynative")),
    ],
    indirect=["mode"],
)
def test_evaluation_gives_mindcvs_logits(mode, name):
    assert error_of(name, **mindcv_variant(name, A_NAME)) < TOLERANCE


@pytest.mark.parametrize(
    "name, left_out",
    [
        ("resnet18", "stem_pool"),
        ("seresnext50_32x4d", "stem_pool"),
        ("skresnet18", "stem_pool"),
        ("skresnet50", "first_act"),
        ("skresnext50_32x4d", "first_act"),
    ],
)
def test_without_one_of_the_keywords_the_logits_differ(pynative, name, left_out):
    keywords = mindcv_variant(name, A_NAME)
    del keywords[left_out]
    assert error_of(name, **keywords) > 1e-2


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (6, 9)])
def test_same_pooling_pads_even_sizes_on_the_far_side_only(mode, size):
    pool = create_model("resnet18", num_classes=10, stem_pool="same").pool
    x = np.random.default_rng(0).standard_normal((2, 1, *size)).astype(np.float32)
    (above, below), (left, right) = [(1, 1) if length % 2 else (0, 1) for length in size]
    padded = np.pad(x, ((0, 0), (0, 0), (above, below), (left, right)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    np.testing.assert_array_equal(pool(Tensor(x)).asnumpy(), windows.max(axis=(4, 5)))


@pytest.mark.parametrize(
    "name, keywords, message",
    [
        ("resnet18", {"stem_pool": "valid"}, "stem_pool must be 'pad' or 'same', got 'valid'"),
        ("resnet18", {"first_act": False}, "resnet18 does not take these arguments: .*first_act"),
        ("resnet50", {"first_akt": False}, "resnet50 does not take these arguments: .*first_akt"),
    ],
)
def test_keywords_that_a_network_does_not_have_are_rejected(name, keywords, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, num_classes=10, **keywords)


def test_keywords_of_the_blocks_replace_those_of_the_variant(pynative):
    block = create_model("skresnext50_32x4d", num_classes=10, groups=1, base_width=64).stages[0][0]
    assert block.conv2.split.branches[0].conv.weight.shape == (64, 64, 3, 3)
    block = create_model("skresnext50_32x4d", num_classes=10).stages[0][0]
    assert block.conv2.split.branches[0].conv.weight.shape == (128, 4, 3, 3)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "seresnet18", "seresnet50", "skresnet18", "skresnet50"])
def test_names_are_those_in_mindcvs_checkpoints(pynative, name):
    own_names = [parameter.name for parameter in create_model(name, num_classes=10).get_parameters()]
    with np.load(GOLDENS) as goldens:
        expected = str(goldens[f"{name}/names"]).split()
    assert sorted(mindcv_names(own_names).values()) == sorted(expected)
