"""Mixed precision: which layers compute in which dtype, and that results stay near float32."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from tiers import COMPILED_LATER, slow

from mindcv.models import create_model, set_precision
from mindcv.models.precision import MixedConv2d, MixedDense, MixedNorm

IMAGES = Tensor(np.random.default_rng(6).standard_normal((4, 3, 16, 16)).astype(np.float32))


class Spy(nn.Cell):
    """Records the dtypes that a cell takes and gives, in Pynative mode."""

    def __init__(self, cell, seen):
        super().__init__(auto_prefix=False)
        self.cell, self.seen = cell, seen

    def construct(self, x):
        y = self.cell(x)
        self.seen.append((x.dtype, y.dtype))
        return y


FLOAT, HALF = ms.float32, ms.float16
# level -> dtype of a convolution's output; of a batch norm's own input and output; of the pooled features
DTYPES = {
    "O0": (FLOAT, FLOAT, FLOAT, FLOAT),
    "O1": (HALF, FLOAT, FLOAT, FLOAT),
    "auto": (HALF, FLOAT, FLOAT, FLOAT),
    "O2": (HALF, FLOAT, HALF, HALF),
    "O3": (HALF, HALF, HALF, HALF),
}


@pytest.mark.parametrize("level", DTYPES)
def test_each_level_computes_in_its_dtypes(pynative, tiny_network, level):
    network = tiny_network(device_forms=False)
    set_precision(network, level, "O0")
    products, norms, pooled = [], [], []
    first = network.stages[0][0].conv1
    first.conv = Spy(first.conv, products)
    if level == "O0":
        first.bn = Spy(first.bn, norms)
    else:
        first.bn.norm = Spy(first.bn.norm, norms)
    network.average = Spy(network.average, pooled)
    logits = network.set_train(True)(IMAGES)
    convolution, norm_in, _, features = DTYPES[level]
    assert products[0][1] == convolution and norms[0][0] == norm_in and pooled[0][0] == features
    assert logits.dtype == FLOAT
    network.set_train(False)(IMAGES)  # evaluation is O0
    assert products[1][1] == norms[1][1] == pooled[1][0] == FLOAT


@pytest.mark.parametrize(
    ("mode", "level"),
    [*(("pynative", level) for level in ("O1", "O2", "O3")), *(slow("graph", level) for level in ("O1", "O2", "O3"))],
    indirect=["mode"],
)
def test_a_network_in_mixed_precision_agrees_with_float32(mode, tiny_network, level):
    networks = {name: tiny_network(device_forms=False) for name in ("float32", "training", "evaluation")}
    set_precision(networks["training"], training=level)
    set_precision(networks["evaluation"], evaluation=level)
    names = {key: [p.name for p in network.get_parameters()] for key, network in networks.items()}
    assert names["training"] == names["evaluation"] == names["float32"]
    for mixed, is_training in (("evaluation", False), ("training", True)):  # training moves the statistics
        expected = networks["float32"].set_train(is_training)(IMAGES).asnumpy()
        logits = networks[mixed].set_train(is_training)(IMAGES)
        assert logits.dtype == FLOAT
        difference = np.abs(logits.asnumpy() - expected).max()
        assert 0 < difference < 0.01 * np.abs(expected).max()
    in_float32 = networks["evaluation"].set_train(True)(IMAGES).asnumpy()
    np.testing.assert_allclose(in_float32, expected, rtol=1e-4, atol=1e-6)
    parameters = networks["training"].parameters_dict()
    assert all(parameter.dtype == FLOAT for parameter in parameters.values())
    moved = parameters["stem.bn.moving_mean"].asnumpy()
    np.testing.assert_allclose(moved, networks["float32"].parameters_dict()["stem.bn.moving_mean"].asnumpy(), atol=1e-3)
    assert np.abs(moved).max() > 0


@COMPILED_LATER
def test_gradients_of_the_weights_are_float32(mode, tiny_network):
    network = tiny_network(device_forms=False).set_train(True)
    set_precision(network, "O2")

    def total(x):
        return network(x).sum()

    gradients = ms.grad(total, None, network.trainable_params())(IMAGES)
    assert all(gradient.dtype == FLOAT for gradient in gradients)


@pytest.mark.parametrize("name", ["skresnet18", "seresnet50"])
def test_every_product_and_norm_of_a_network_is_replaced(name):
    network = create_model(name, num_classes=4, device_forms=False)
    weights = {id(parameter) for parameter in network.get_parameters()}
    set_precision(network, "O2")
    cells = [cell for _, cell in network.cells_and_names()]
    assert not [cell for cell in cells if type(cell) in (nn.Conv2d, nn.Dense)]
    norms = [cell for cell in cells if isinstance(cell, nn.BatchNorm2d)]
    assert len(norms) == sum(isinstance(cell, MixedNorm) for cell in cells) > 0
    assert any(isinstance(cell, MixedConv2d) for cell in cells) and isinstance(network.classifier, MixedDense)
    assert {id(parameter) for parameter in network.get_parameters()} == weights


@pytest.mark.parametrize(
    "arguments, message",
    [(("O4",), "amp_level must be 'O0' or"), (("O1", "O0", "half"), "amp_dtype must be 'float16'")],
)
def test_an_unknown_level_or_dtype_is_an_error(tiny_network, arguments, message):
    with pytest.raises(ValueError, match=message):
        set_precision(tiny_network(), *arguments)
