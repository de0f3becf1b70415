"""A batch norm with one value per channel is an error before training, and only then."""

import numpy as np
import pytest
from mindspore import Tensor
from tiers import slow

from mindcv.models import check_batch_norms, create_model, freeze


@pytest.mark.parametrize("name, size", [("sknet50", 224), ("resnet18", 32), ("skresnet18", 64), ("sknet29", 32)])
def test_a_batch_of_one_image_is_an_error_where_a_map_has_one_pixel(name, size):
    with pytest.raises(ValueError, match=r"a batch of one image .* one value per channel.*--batch_size"):
        check_batch_norms(create_model(name, num_classes=2), 1, size)


@pytest.mark.parametrize("name, size, batch_size", [("sknet50", 32, 2), ("resnet18", 33, 1), ("resnet18", 224, 1)])
def test_two_values_per_channel_are_accepted(name, size, batch_size):
    check_batch_norms(create_model(name, num_classes=2), batch_size, size)


def test_frozen_batch_norms_take_a_batch_of_one_image():
    network = create_model("sknet50", num_classes=2)
    freeze(network, None, "all")
    check_batch_norms(network, 1, 32)


@pytest.mark.parametrize(
    "name, size", [("resnet18", 33), slow("resnet18", 32), slow("skresnet18", 224), slow("seresnet50", 40)]
)
def test_the_map_sizes_of_the_rule_are_those_of_the_network(name, size):
    network = create_model(name, num_classes=2)
    network.set_train(False)
    features = network.forward_intermediates(Tensor(np.zeros((1, 3, size, size), np.float32)))
    for stride, feature in zip(network.feature_strides, features, strict=True):
        assert feature.shape[2] == -(-size // stride)
