"""The renaming of timm's weights; models/test_goldens.py compares the results."""

import numpy as np
import pytest

from mindcv.models import create_model
from mindcv.weights import from_timm, timm_names


def arrays_for(network):
    """Return distinct weights with timm's names and shapes, and the counters that timm saves."""
    weights = {"bn1.num_batches_tracked": np.array(7)}
    for number, (name, timm_name) in enumerate(timm_names(p.name for p in network.get_parameters()).items()):
        shape = network.parameters_dict()[name].shape
        weights[timm_name] = np.full(shape + ((1, 1) if ".se." in timm_name and len(shape) == 2 else ()), number)
    return weights


@pytest.mark.parametrize(
    "model, pairs",
    {
        "resnet18": {
            "stem.conv.weight": "conv1.weight",
            "stem.bn.gamma": "bn1.weight",
            "stages.0.1.conv2.conv.weight": "layer1.1.conv2.weight",
            "stages.0.1.conv2.bn.beta": "layer1.1.bn2.bias",
            "stages.3.0.shortcut.conv.weight": "layer4.0.downsample.0.weight",
            "stages.3.0.shortcut.bn.moving_mean": "layer4.0.downsample.1.running_mean",
            "classifier.bias": "fc.bias",
        },
        "seresnet50": {
            "stages.1.3.conv3.bn.moving_variance": "layer2.3.bn3.running_var",
            "stages.1.3.attention.reduce.weight": "layer2.3.se.fc1.weight",
            "stages.1.3.attention.expand.bias": "layer2.3.se.fc2.bias",
        },
        "skresnet50d": {
            "stem.0.conv.weight": "conv1.0.weight",
            "stem.0.bn.gamma": "conv1.1.weight",
            "stem.1.bn.moving_mean": "conv1.4.running_mean",
            "stem.2.conv.weight": "conv1.6.weight",
            "stem.2.bn.beta": "bn1.bias",
            "stages.0.0.conv1.conv.weight": "layer1.0.conv1.conv.weight",
            "stages.0.0.shortcut.conv.weight": "layer1.0.downsample.1.weight",
            "stages.1.0.shortcut.1.bn.gamma": "layer2.0.downsample.2.weight",
            "stages.2.4.conv2.split.branches.1.bn.gamma": "layer3.4.conv2.paths.1.bn.weight",
            "stages.2.4.conv2.fuse.conv.weight": "layer3.4.conv2.attn.fc_reduce.weight",
            "stages.2.4.conv2.fuse.bn.beta": "layer3.4.conv2.attn.bn.bias",
            "stages.2.4.conv2.select.conv.weight": "layer3.4.conv2.attn.fc_select.weight",
        },
    }.items(),
)
def test_names_are_timms(model, pairs):
    names = timm_names(p.name for p in create_model(model, num_classes=10).get_parameters())
    assert {name: names[name] for name in pairs} == pairs
    assert len(set(names.values())) == len(names)


def test_every_array_keeps_its_name_and_shape():
    network = create_model("seresnet50", num_classes=10)
    given = arrays_for(network)
    converted = from_timm(given, network)
    own = {p.name: p.shape for p in network.get_parameters()}
    assert {name: array.shape for name, array in converted.items()} == own
    for name, timm_name in timm_names(own).items():
        np.testing.assert_array_equal(converted[name].ravel(), given[timm_name].ravel())


def test_pointwise_convolutions_that_are_convolutions_here_keep_their_shape():
    network = create_model("skresnet18", num_classes=10)
    converted = from_timm(arrays_for(network), network)
    assert converted["stages.0.0.conv1.fuse.conv.weight"].shape == (16, 64, 1, 1)


def test_unmatched_names_are_listed_for_both_sides():
    network = create_model("resnet18", num_classes=10)
    given = arrays_for(network)
    del given["layer2.0.bn1.bias"]
    given["head.fc.weight"] = np.zeros(3)
    with pytest.raises(ValueError) as error:
        from_timm(given, network)
    assert "Missing from the weights: layer2.0.bn1.bias." in str(error.value)
    assert "Unknown to the network: head.fc.weight." in str(error.value)


def test_weights_of_another_architecture_are_an_error():
    given = arrays_for(create_model("resnet18", num_classes=10))
    with pytest.raises(ValueError, match="do not belong to this network"):
        from_timm(given, create_model("skresnet18", num_classes=10))


def test_input_is_not_changed():
    network = create_model("resnet18", num_classes=10)
    given = arrays_for(network)
    before = {name: array.copy() for name, array in given.items()}
    from_timm(given, network)
    assert given.keys() == before.keys()
    assert all(np.array_equal(given[name], before[name]) for name in given)
