"""The formulations that export compute what the network's layers compute."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.export.formulation import make_exportable
from mindcv.models.layers import SqueezeExcite

SIZES = [(2, 8, 8, 8), (1, 8, 7, 9), (2, 8, 2, 3), (1, 8, 1, 1)]


class Holder(nn.Cell):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, x):
        return self.cell(x)


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("kernel", [2, 3])
def test_padded_max_pooling_is_exactly_the_same_for_any_sign(mode, kernel, shape):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32) - 2  # padding with zeros would show
    pool = nn.MaxPool2d(kernel, 2, pad_mode="pad", padding=1)
    holder = make_exportable(Holder(nn.MaxPool2d(kernel, 2, pad_mode="pad", padding=1)))
    assert not isinstance(holder.cell, nn.MaxPool2d)
    np.testing.assert_array_equal(holder(Tensor(x)).asnumpy(), pool(Tensor(x)).asnumpy())


def test_squeeze_excite_is_exactly_the_same(mode):
    layer = SqueezeExcite(16)
    for parameter in layer.get_parameters():
        values = np.random.default_rng(parameter.size).standard_normal(parameter.shape)
        parameter.set_data(Tensor(values.astype(np.float32)))
    x = Tensor(np.random.default_rng(2).standard_normal((3, 16, 5, 7)).astype(np.float32))
    expected = layer(x).asnumpy()
    holder = make_exportable(Holder(layer))
    assert holder.cell is not layer
    np.testing.assert_array_equal(holder(x).asnumpy(), expected)


def test_layers_inside_containers_are_found():
    network = nn.SequentialCell([nn.ReLU(), nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)])
    make_exportable(network)
    assert not [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.MaxPool2d) and cell.use_pad]


def test_poolings_that_export_stay():
    same = nn.MaxPool2d(3, 2, pad_mode="same")
    assert make_exportable(Holder(same)).cell is same


@pytest.mark.parametrize(
    "options", [{"padding": 2}, {"padding": (1, 0)}, {"padding": 1, "ceil_mode": True}, {"padding": 1, "dilation": 2}]
)
def test_other_padded_poolings_are_refused(options):
    with pytest.raises(ValueError, match=r"MaxPool2d.*cannot be exported.*only those with padding=1"):
        make_exportable(Holder(nn.MaxPool2d(5, 2, pad_mode="pad", **options)))
