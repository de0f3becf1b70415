"""Tests of every registered network, and of the factory."""

import gc

import mindspore as ms
import numpy as np
import pytest
from check_model import stated_rows
from goldens import recipe
from mindspore import Tensor, nn
from model_table import published_classes
from tiers import full, slow

import config
from mindcv.loss import create_loss
from mindcv.models import create_model, list_models, without_initial_weights
from mindcv.models.factory import FeatureExtractor
from mindcv.models.layers import Dropout, DropPath
from mindcv.models.resnet import BasicBlock, ResNet

STATED_ROWS = stated_rows()
NOT_IN_TIMM = sorted(set(list_models()) - recipe.COMPARED_WITH_TIMM)
# The others are built for timm's goldens, whose weights fit a network with the stated parameters only.
QUICK = sorted({*NOT_IN_TIMM, "resnet18", "seresnet50", "skresnet18", "sknet50"} - {*recipe.LARGE})
OF_OWN_BLOCKS = ["sknet29", "seshufflenet_v2_x0_5", "skshufflenet_v2_x0_5"]  # the others' are in a test of goldens
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)


@pytest.fixture(autouse=True)
def seed():
    ms.set_seed(0)


@pytest.fixture(scope="module", params=full(list_models(), by_default=QUICK))
def network(request):
    """Each network once, in evaluation and Pynative mode (the goldens run them in both)."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    with without_initial_weights():
        built = create_model(request.param)
    yield built.set_train(False)
    gc.collect()


def tiny(**options):
    """Two blocks of 8 channels, for tests that do not depend on the architecture."""
    return ResNet(BasicBlock, (1, 1), planes=(8, 8), stem="cifar", **{"num_classes": 5, **options})


def num_trainable(network):
    return sum(parameter.size for parameter in network.trainable_params())


def randomize_gammas(network):
    for parameter in network.trainable_params():
        if parameter.name.endswith("gamma"):
            parameter.set_data(parameter * 0 + 0.7)
    return network


# The harness


def test_parameter_count_is_the_one_in_the_readme(network, request):
    name = request.node.callspec.params["network"]
    assert name in STATED_ROWS, f"no row in README.md: `python tools/check_model.py {name}` prints it"
    with_1000_classes = num_trainable(network)
    classifier = (1000 - published_classes(network)) * (network.num_features + 1)
    assert STATED_ROWS[name][0] == f"{with_1000_classes - classifier:,}"


@pytest.mark.parametrize("name", sorted(recipe.COMPARED_WITH_TIMM))
def test_the_readme_states_timms_parameter_count(name):
    with np.load(recipe.GOLDENS) as goldens:
        assert STATED_ROWS[name][0] == f"{goldens[f'{recipe.SAME_AS.get(name, name)}/parameters']:,}"


def test_depth_groups_hold_every_trainable_parameter_once(network):
    groups = network.depth_groups()
    names = [name for group in groups for name in group]
    assert sorted(names) == sorted(parameter.name for parameter in network.trainable_params())
    assert all(groups)
    assert len(groups) == 2 + sum(len(stage) for stage in network.stages)
    assert groups[0][0].startswith("stem.")
    assert groups[-1] == ["classifier.weight", "classifier.bias"]


@pytest.mark.parametrize(
    "network", full(list_models(), by_default={*recipe.KINDS, "sknet29"} - {*recipe.LARGE}), indirect=True
)
def test_feature_maps_have_the_stated_channels_and_strides(pynative, network):
    assert network.num_features == network.feature_channels[-1]
    extractor = FeatureExtractor(network)
    features = extractor(Tensor(IMAGES))
    sizes = zip(extractor.feature_channels, extractor.feature_strides, strict=True)
    assert [f.shape for f in features] == [(2, channels, 32 // stride, 32 // stride) for channels, stride in sizes]


def test_pre_processing_is_described(network):
    cfg = network.default_cfg
    assert cfg.image_resize == (32 if network.feature_strides[0] == 1 else 224)
    assert len(cfg.mean) == len(cfg.std) == 3
    assert set(cfg._fields) <= {option.name for option in config.OPTIONS.values() if option.section == "image"}


# Tests that concern only the stem and the ends of a network, for each kind of stem

STEMS = pytest.mark.parametrize("name", ["resnet18", "skresnet50d", "sknet29"])


@STEMS
def test_forward_is_the_head_of_the_features(pynative, name):
    network = create_model(name).set_train(False)
    x = Tensor(IMAGES)
    logits, features = network(x), network.forward_features(x)
    assert logits.shape == (2, 1000)
    assert logits.dtype == ms.float32
    assert features.shape == (2, network.num_features, *(32 // network.feature_strides[-1],) * 2)
    np.testing.assert_array_equal(network.forward_head(features).asnumpy(), logits.asnumpy())
    np.testing.assert_array_equal(network.forward_intermediates(x)[-1].asnumpy(), features.asnumpy())


@STEMS
def test_in_channels_and_num_classes_shape_the_ends(pynative, name):
    network = create_model(name, num_classes=7, in_channels=1).set_train(False)
    assert network(Tensor(IMAGES[:, :1])).shape == (2, 7)


@STEMS
def test_zero_classes_give_pooled_features(pynative, name):
    network = create_model(name, num_classes=0).set_train(False)
    features = network(Tensor(IMAGES)).asnumpy()
    assert features.shape == (2, network.num_features)
    assert not [p.name for p in network.get_parameters() if p.name.startswith("classifier")]
    expected = network.forward_features(Tensor(IMAGES)).asnumpy().mean(axis=(2, 3))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_features_only_returns_the_chosen_maps(pynative):
    chosen = create_model("resnet18", features_only=True, out_indices=(4, 1)).set_train(False)
    assert chosen.feature_channels == (512, 64)
    assert chosen.feature_strides == (32, 4)
    assert [feature.shape for feature in chosen(Tensor(IMAGES))] == [(2, 512, 1, 1), (2, 64, 8, 8)]


def test_features_only_keeps_parameter_names():
    whole, extractor = create_model("resnet18"), create_model("resnet18", features_only=True)
    assert [p.name for p in extractor.get_parameters()] == [p.name for p in whole.get_parameters()]


def test_feature_extractor_gives_the_intermediate_maps(mode):
    network = tiny().set_train(False)
    first, last = FeatureExtractor(network, (0, 2)).set_train(False)(Tensor(IMAGES))
    np.testing.assert_allclose(first.asnumpy(), network.stem(Tensor(IMAGES)).asnumpy(), atol=1e-5)
    pooled = last.asnumpy().mean(axis=(2, 3))
    logits = pooled @ network.classifier.weight.asnumpy().T + network.classifier.bias.asnumpy()
    np.testing.assert_allclose(network(Tensor(IMAGES)).asnumpy(), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        case
        for name in NOT_IN_TIMM
        for case in (("pynative", name) if name in OF_OWN_BLOCKS else slow("pynative", name), slow("graph", name))
    ],
    indirect=["mode"],
)
def test_every_trainable_parameter_of_a_network_that_timm_does_not_have_gets_a_gradient(mode, name):
    # The other networks' gradients are compared with timm's in test_goldens.py.
    network = randomize_gammas(create_model(name, num_classes=10)).set_train()
    criterion = create_loss("CE")
    parameters = network.trainable_params()

    def loss(images, labels):
        return criterion(network(images), labels)

    grad = ms.grad(loss, None, parameters)
    grad = ms.jit(grad) if mode == "graph" else grad
    side = 2 * network.feature_strides[-1]  # the last map is 2x2
    images = np.random.default_rng(1).standard_normal((4, 3, side, side)).astype(np.float32)
    gradients = grad(Tensor(images), Tensor(np.arange(4, dtype=np.int32)))
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert np.isfinite(gradient.asnumpy()).all(), parameter.name
        assert np.abs(gradient.asnumpy()).max() > 0, parameter.name


# Randomness


def test_initial_weights_repeat_for_a_seed():
    def weights(value):
        ms.set_seed(value)
        return {p.name: p.asnumpy().copy() for p in tiny().get_parameters()}

    first, again, other = weights(1), weights(1), weights(2)
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        assert array.ndim == 1 or not np.array_equal(array, other[name]), name


def test_weights_are_drawn_unless_a_file_will_give_them():
    def is_drawn():
        return any(p.asnumpy().any() for p in tiny().get_parameters() if p.ndim > 1 and "classifier" not in p.name)

    with pytest.raises(KeyError), without_initial_weights():
        assert not is_drawn()
        raise KeyError
    assert is_drawn()  # here again, after the error


def test_initial_weights_have_the_stated_variance():
    network = create_model("sknet50")
    for name, cell in network.cells_and_names():
        if isinstance(cell, nn.Conv2d):
            weight = cell.weight.asnumpy()
            variance = 2 * cell.group / (weight.shape[0] * weight.shape[2] * weight.shape[3])
            variance = 0.01**2 if name.endswith("select.conv") else variance  # the paper's Caffe models
            error = np.sqrt(2 / weight.size)  # relative standard deviation of a sample variance
            assert abs(weight.var() / variance - 1) < 5 * error, name
            assert abs(weight.mean()) < 5 * np.sqrt(variance / weight.size), name
    bound = 1 / np.sqrt(network.num_features)
    for parameter in (network.classifier.weight, network.classifier.bias):
        values = parameter.asnumpy()
        assert 0.98 * bound < np.abs(values).max() <= bound
        assert abs(values.var() / (bound**2 / 3) - 1) < 0.1
    weight = network.stages[0][1].conv1.conv.weight.asnumpy()
    assert not np.array_equal(weight, network.stages[0][2].conv1.conv.weight.asnumpy())


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "sknet26", "skresnet18"])
def test_zero_init_last_zeroes_every_residual_branch(name):
    for zero_init_last in (True, False):
        network = create_model(name, zero_init_last=zero_init_last)
        zero = {p.name for p in network.trainable_params() if p.name.endswith("gamma") and not p.asnumpy().any()}
        last = "conv2" if name.endswith("18") else "conv3"
        blocks = [f"stages.{s}.{b}" for s, stage in enumerate(network.stages) for b in range(len(stage))]
        assert zero == ({f"{block}.{last}.bn.gamma" for block in blocks} if zero_init_last else set())


def test_with_zero_branches_a_network_computes_only_its_shortcuts(mode):
    network = tiny().set_train(False)
    block = network.stages[0][0]
    x = Tensor(np.abs(IMAGES[:, :1]).repeat(64, axis=1))
    expected = np.maximum(block.shortcut(x).asnumpy(), 0)
    np.testing.assert_allclose(block(x).asnumpy(), expected, atol=1e-6)


DROPPING = {"drop_rate": 0.5, "drop_path_rate": 0.5}


def test_dropping_repeats_for_a_seed_and_differs_from_batch_to_batch(mode):
    def two_outputs():
        ms.set_seed(3)
        network = randomize_gammas(tiny(**DROPPING)).set_train()
        return [network(Tensor(IMAGES)).asnumpy() for _ in range(2)]

    first, second = two_outputs()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal([first, second], two_outputs())


def test_dropping_is_off_in_evaluation(mode):
    ms.set_seed(3)
    dropping = randomize_gammas(tiny(**DROPPING)).set_train(False)
    ms.set_seed(3)
    plain = randomize_gammas(tiny()).set_train(False)
    np.testing.assert_array_equal(dropping(Tensor(IMAGES)).asnumpy(), plain(Tensor(IMAGES)).asnumpy())


def test_drop_path_rate_grows_linearly_to_the_last_block():
    network = create_model("resnet18", drop_path_rate=0.35, drop_rate=0.2)
    blocks = [block for stage in network.stages for block in stage]
    rates = [block.drop_path.rate if isinstance(block.drop_path, DropPath) else 0.0 for block in blocks]
    np.testing.assert_allclose(rates, np.linspace(0, 0.35, 8))
    assert isinstance(network.dropout, Dropout)
    assert network.dropout.rate == 0.2


# The factory's messages


def test_list_models_filters_by_wildcard():
    names = list_models()
    assert names == sorted(names)
    assert list_models("sknet*") == [name for name in names if name.startswith("sknet")] != []
    assert list_models("*resnext101*") == [name for name in names if "resnext101" in name] != []
    assert list_models("nothing*") == []


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("sknet5O", {}, r"unknown model 'sknet5O'\. Did you mean 'sknet50'"),
        ("resnet18", {"widht": 2}, "resnet18 does not take these arguments: .*widht"),
        ("sknet26", {"pretrained": True}, "no weights are published for 'sknet26'"),
        ("resnet18", {"out_indices": (1,)}, "out_indices goes with features_only=True"),
        ("resnet18", {"features_only": True, "out_indices": (5,)}, "out_indices must be between 0 and 4 .* got 5"),
        ("resnet18", {"features_only": True, "out_indices": (-1,)}, "out_indices must be between 0 and 4 .* got -1"),
        ("resnet18", {"num_classes": -1}, "num_classes must be at least 0, got -1"),
        ("resnet18", {"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ("resnet18", {"drop_rate": 1.0}, r"drop rate must be in \[0, 1\), got 1.0"),
        ("resnet18", {"drop_path_rate": -0.1}, r"drop rate must be in \[0, 1\), got"),
    ],
)
def test_illegal_arguments_are_named_in_the_error(name, options, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **options)
