"""The renaming of MindCV's weights and the choice of its variant; what they compute is in
models/test_mindcv_goldens.py.
"""

import json

import numpy as np
import pytest
from goldens import recipe

from mindcv.models import create_model, list_models
from mindcv.weights.from_mindcv import from_mindcv, is_mindcv, mindcv_names, mindcv_variant
from mindcv.weights.from_timm import timm_names

A_NAME = {"layer1.0.bn1.moving_mean": np.zeros(64)}
IN_MINDCV = set(recipe.MINDCV_MODELS)


def names_of(network):
    return [parameter.name for parameter in network.get_parameters()]


def arrays_for(network):
    """Return distinct arrays under MindCV's names."""
    shapes = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    renamed = mindcv_names(shapes)
    return {renamed[name]: np.full(shape, number) for number, (name, shape) in enumerate(shapes.items())}


@pytest.fixture
def resnet():
    return create_model("resnet18", num_classes=10)


@pytest.mark.parametrize(
    "model, pairs",
    {
        "resnet18": {
            "stem.conv.weight": "conv1.weight",
            "stem.bn.gamma": "bn1.gamma",
            "stages.0.1.conv2.conv.weight": "layer1.1.conv2.weight",
            "stages.0.1.conv2.bn.moving_variance": "layer1.1.bn2.moving_variance",
            "stages.3.0.shortcut.conv.weight": "layer4.0.down_sample.0.weight",
            "stages.3.0.shortcut.bn.moving_mean": "layer4.0.down_sample.1.moving_mean",
            "classifier.bias": "classifier.bias",
        },
        "seresnet50": {
            "stem.conv.weight": "layer0.0.weight",
            "stem.bn.beta": "layer0.1.beta",
            "stages.1.0.shortcut.conv.weight": "layer2.0.downsample.0.weight",
            "stages.1.3.conv3.bn.gamma": "layer2.3.bn3.gamma",
            "stages.1.3.attention.reduce.weight": "layer2.3.se_module.conv_reduce.weight",
            "stages.1.3.attention.expand.bias": "layer2.3.se_module.conv_expand.bias",
        },
        "skresnet50": {
            "stem.bn.gamma": "bn1.gamma",
            "stages.0.0.conv1.conv.weight": "layer1.0.conv1.0.weight",
            "stages.0.0.conv3.bn.beta": "layer1.0.conv3.1.beta",
            "stages.0.0.shortcut.bn.gamma": "layer1.0.down_sample.1.gamma",
            "stages.2.4.conv2.split.branches.1.conv.weight": "layer3.4.conv2.paths.1.features.0.weight",
            "stages.2.4.conv2.split.branches.0.bn.gamma": "layer3.4.conv2.paths.0.features.1.gamma",
            "stages.2.4.conv2.fuse.conv.weight": "layer3.4.conv2.attn.fc_reduce.weight",
            "stages.2.4.conv2.fuse.bn.moving_mean": "layer3.4.conv2.attn.bn.moving_mean",
            "stages.2.4.conv2.select.conv.weight": "layer3.4.conv2.attn.fc_select.weight",
        },
    }.items(),
)
def test_names_are_mindcvs(model, pairs):
    names = mindcv_names(names_of(create_model(model, num_classes=10)))
    assert {name: names[name] for name in pairs} == pairs
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("model", ["resnet18", "seresnet50", "skresnet18"])
def test_mindcvs_names_are_distinguished_from_ours_and_timms(model):
    names = names_of(create_model(model, num_classes=10))
    assert is_mindcv(mindcv_names(names).values())
    assert not is_mindcv(names)
    assert not is_mindcv(timm_names(names).values())
    assert not is_mindcv([])


@pytest.mark.parametrize("model", ["seresnet50", "skresnet18"])
def test_every_array_keeps_its_name_and_shape(model):
    network = create_model(model, num_classes=10)
    given = arrays_for(network)
    converted = from_mindcv(given, network)
    own = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    assert {name: array.shape for name, array in converted.items()} == own
    for name, mindcv_name in mindcv_names(own).items():
        np.testing.assert_array_equal(converted[name], given[mindcv_name])


def test_unmatched_names_are_listed_for_both_sides(resnet):
    given = arrays_for(resnet)
    del given["layer2.0.bn1.beta"]
    given["end_point.weight"] = np.zeros(3)
    with pytest.raises(ValueError) as error:
        from_mindcv(given, resnet)
    assert "Missing from the weights: layer2.0.bn1.beta." in str(error.value)
    assert "Unknown to the network: end_point.weight." in str(error.value)


def test_weights_of_another_family_are_an_error(resnet):
    given = arrays_for(resnet)
    with pytest.raises(ValueError, match="do not belong to this network"):
        from_mindcv(given, create_model("skresnet18", num_classes=10))


def test_input_is_not_changed(resnet):
    given = arrays_for(resnet)
    before = {name: array.copy() for name, array in given.items()}
    from_mindcv(given, resnet)
    assert given.keys() == before.keys()
    assert all(np.array_equal(given[name], before[name]) for name in given)


@pytest.mark.parametrize(
    "state, of_a_weight",
    [
        # Written by MindCV 0.3.0 and MindSpore's ModelCheckpoint in trainings with each optimizer.
        ("global_step learning_rate momentum epoch_num step_num lr", "moments"),  # momentum
        ("global_step learning_rate momentum", "accum stat"),  # sgd
        ("global_step learning_rate beta1_power beta2_power", "moment1 moment2"),  # adam
        ("global_step learning_rate_group_0 learning_rate_group_11 beta1_power beta2_power", "adam_m adam_v"),  # adamw
        ("global_step learning_rate beta1_power beta2_power", "lion_m"),
        ("global_step learning_rate beta2_power mu_schedule", "nadam_m nadam_v"),
        ("global_step learning_rate", "moment1 moment2 moment3 prev_gradient"),  # adan
        ("global_step learning_rate", "mean_square moment"),  # rmsprop
        ("global_step learning_rate", "lamb_m lamb_v"),
        ("scale_sense updates global_step learning_rate momentum", "ema moments"),  # with a running average
    ],
)
def test_training_state_is_ignored(resnet, state, of_a_weight):
    weights = arrays_for(resnet)
    given = {**weights, **{name: np.zeros(()) for name in state.split()}}
    for prefix in of_a_weight.split():
        given |= {f"{prefix}.{name}": np.full_like(array, -1) for name, array in weights.items()}
    converted, expected = from_mindcv(given, resnet), from_mindcv(weights, resnet)
    assert converted.keys() == expected.keys()
    assert all(np.array_equal(converted[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "name", ["moments.layer5.0.conv1.weight", "momenta.conv1.weight", "learning_rates", "ema.", "hessian.conv1.weight"]
)
def test_entries_that_only_look_like_training_state_are_an_error(resnet, name):
    with pytest.raises(ValueError, match=f"Unknown to the network: {name}"):
        from_mindcv({**arrays_for(resnet), name: np.zeros(())}, resnet)


def test_the_state_of_a_missing_weight_does_not_hide_that_it_is_missing(resnet):
    given = arrays_for(resnet)
    given["moments.conv1.weight"] = given.pop("conv1.weight")
    with pytest.raises(ValueError, match=r"Missing from the weights: conv1\.weight\.\n.*: moments\.conv1\.weight"):
        from_mindcv(given, resnet)


def test_every_network_of_mindcv_has_json_compatible_keywords():
    for model in IN_MINDCV:
        keywords = mindcv_variant(model, A_NAME)
        assert json.loads(json.dumps(keywords)) == keywords
        keywords.clear()
        assert mindcv_variant(model, A_NAME)  # the caller's copy, not the table


@pytest.mark.parametrize("model", sorted(set(list_models()) - IN_MINDCV))
def test_networks_that_mindcv_does_not_have_are_an_error(model):
    with pytest.raises(ValueError, match=rf"MindCV has no network '{model}': its weights fit resnet18, .*skresnet50"):
        mindcv_variant(model, A_NAME)


def test_names_of_other_packages_are_an_error(resnet):
    with pytest.raises(ValueError, match=r"expected names like 'layer1\.0.*got classifier\.bias"):
        mindcv_variant("resnet18", {name: np.zeros(()) for name in names_of(resnet)})


def test_a_skresnext_with_groups_is_an_error():
    branch = "layer1.0.conv2.paths.0.features.0.weight"
    published = {**A_NAME, branch: np.zeros((64, 64, 3, 3))}
    assert mindcv_variant("skresnext50_32x4d", published)["groups"] == 1
    with pytest.raises(ValueError, match=r"without groups.*\(128, 4, 3, 3\)"):
        mindcv_variant("skresnext50_32x4d", {**published, branch: np.zeros((128, 4, 3, 3))})
