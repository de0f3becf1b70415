"""The formulations that export compute what the network's layers compute."""

from functools import partial

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.export.formulation import make_exportable
from mindcv.models.inference import EdgePaddedMaxPool
from mindcv.models.layers import SelectiveKernel, SqueezeExcite, conv2d
from mindcv.models.layers.selective_kernel import SKFuse, SKSelect


class Holder(nn.Cell):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, x):
        return self.cell(x)


@pytest.mark.parametrize(
    "layer", [SqueezeExcite, partial(SelectiveKernel, 16), partial(SelectiveKernel, 16, branches=3)]
)
def test_attention_is_the_same(layer, mode):
    layer = layer(16).set_train(False)
    for parameter in layer.get_parameters():
        values = np.random.default_rng(parameter.size).uniform(0.1, 1, parameter.shape)
        parameter.set_data(Tensor(values.astype(np.float32)))
    x = Tensor(np.random.default_rng(2).standard_normal((3, 16, 5, 7)).astype(np.float32))
    expected = Holder(layer).set_train(False)(x).asnumpy()
    holder = make_exportable(Holder(layer)).set_train(False)
    assert not [cell for _, cell in holder.cells_and_names() if isinstance(cell, SqueezeExcite | SKFuse | SKSelect)]
    np.testing.assert_allclose(holder(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_layers_inside_containers_are_found():
    network = nn.SequentialCell([nn.ReLU(), nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)])
    make_exportable(network)
    assert not [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.MaxPool2d) and cell.use_pad]


def test_padded_max_pooling_is_replaced():
    holder = make_exportable(Holder(nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)))
    assert isinstance(holder.cell, EdgePaddedMaxPool)


@pytest.mark.parametrize(("kernel_size", "groups"), [(1, 1), (3, 32)])
def test_small_maps_are_convolved_like_all_others(kernel_size, groups):
    layer, exported = (conv2d(64, 64, kernel_size, groups=groups).set_train(False) for _ in range(2))
    exported.weight.set_data(layer.weight)
    holder = make_exportable(Holder(exported))
    assert not exported.joins(1) if kernel_size == 1 else exported.max_matmul_pairs == 0
    x = Tensor(np.random.default_rng(3).standard_normal((2, 64, 1, 1)).astype(np.float32))
    np.testing.assert_allclose(holder(x).asnumpy(), layer(x).asnumpy(), rtol=1e-5, atol=1e-5)


def test_poolings_that_export_stay():
    same = nn.MaxPool2d(3, 2, pad_mode="same")
    assert make_exportable(Holder(same)).cell is same


@pytest.mark.parametrize(
    "options", [{"padding": 2}, {"padding": (1, 0)}, {"padding": 1, "ceil_mode": True}, {"padding": 1, "dilation": 2}]
)
def test_other_padded_poolings_are_refused(options):
    with pytest.raises(ValueError, match=r"MaxPool2d.*cannot be exported.*only those with padding=1"):
        make_exportable(Holder(nn.MaxPool2d(5, 2, pad_mode="pad", **options)))
