"""Networks with channels last equal those without, by stand-ins for the operators that only a GPU has."""

import gc
from functools import partial
from pathlib import Path

import nhwc
import numpy as np
import pytest
from count_operators import counts_of
from golden_checks import TrainingPass
from mindspore import Tensor, nn
from random_weights import random_network
from script_runs import fails, small_run
from tiers import full, slow

import assemble_weights
import train
from config import load_config
from mindcv.checkpoint import Checkpoint
from mindcv.models import create_model, list_models, prepare_for_inference, set_precision, use_channels_last
from mindcv.models.layers import ConvNormAct, SelectiveKernel

# Two blocks with all parts of the full networks.
SHORT = {"layers": (1, 1), "planes": (64, 128)}
DROPS = {"drop_rate": 0.2, "drop_path_rate": 0.3, "drop_block_rate": 0.2}
NETWORKS = {
    "skresnet50d": {**SHORT, **DROPS},
    "sknet50": {**SHORT, "middle_conv": partial(SelectiveKernel, branches=3), "stem_pool": "same"},
    "seresnet18": SHORT,
    "skshufflenet_v2_x0_5": {"channels": (24, 32, 64, 64), "layers": (2, 1)},
}
rng = np.random.default_rng(0)
IMAGES = Tensor(rng.standard_normal((3, 3, 40, 40)).astype(np.float32))
LABELS = Tensor(np.array([1, 0, 7], np.int32))


@pytest.fixture(autouse=True)
def free_networks():
    yield
    gc.collect()


@pytest.fixture
def stand_ins(monkeypatch):
    nhwc.install(monkeypatch)


def pair(name, **options):
    """The same network in the plain layout and with channels last."""
    plain, other = (random_network(name, device_forms=False, **options) for _ in range(2))
    assert use_channels_last(other) is other
    return plain, other


def assert_near(actual, expected, label="", tolerance=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max() + 1e-12, err_msg=label)


def assert_trained_alike(plain, other, images=IMAGES):
    """One step forward and backward: loss, logits, gradients and running statistics are equal."""
    results = []
    for network in (plain, other):
        (loss, logits), gradients = TrainingPass(network).set_train()(images, LABELS)
        results.append([part.asnumpy() for part in (loss, logits, *gradients)])
        results[-1] += [parameter.asnumpy() for parameter in network.get_parameters() if not parameter.requires_grad]
    names = ["loss", "logits", *(parameter.name for parameter in plain.trainable_params())]
    names += [parameter.name for parameter in plain.get_parameters() if not parameter.requires_grad]
    for label, expected, actual in zip(names, *results, strict=True):
        assert_near(actual, expected, label, 1e-4)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *(("pynative", name) for name in NETWORKS),
        *(slow("graph", name) for name in NETWORKS),
    ],
    indirect=["mode"],
)
def test_training_is_that_of_the_plain_layout(mode, stand_ins, name):
    assert_trained_alike(*pair(name, **NETWORKS[name]))


@pytest.mark.parametrize("name", full(list_models()))
def test_every_network_trains_as_in_the_plain_layout(pynative, stand_ins, name):
    assert_trained_alike(*pair(name), IMAGES[:, :, :32, :32])


@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation_and_feature_maps_are_those_of_the_plain_layout(pynative, stand_ins, name):
    plain, other = pair(name, **NETWORKS[name])
    assert_near(other(IMAGES).asnumpy(), plain(IMAGES).asnumpy())
    maps = [network.forward_intermediates(IMAGES) for network in (plain, other)]
    for expected, actual in zip(*maps, strict=True):
        assert_near(actual.asnumpy(), expected.asnumpy())
    assert_near(other.forward_features(IMAGES).asnumpy(), maps[0][-1].asnumpy())
    assert_near(other.forward_head(maps[0][-1]).asnumpy(), plain(IMAGES).asnumpy())


def test_parameters_keep_their_names_shapes_and_order(stand_ins):
    plain, other = pair("skresnet50d", **SHORT)
    described = [[(p.name, p.shape, p.requires_grad) for p in network.get_parameters()] for network in (plain, other)]
    assert described[0] == described[1]
    cells = [id(cell) for _, cell in other.cells_and_names()]
    assert [id(cell) for _, cell in use_channels_last(other).cells_and_names()] == cells


def test_folded_and_in_mixed_precision_it_is_the_plain_network_too(pynative, stand_ins):
    networks = []
    for channels_last in (False, True):
        network = prepare_for_inference(random_network("skresnet50d", device_forms=False, **SHORT))
        networks.append(use_channels_last(network, keep_weights=False) if channels_last else network)
    plain, other = networks
    expected = plain(IMAGES).asnumpy()
    assert_near(other(IMAGES).asnumpy(), expected)
    for network in networks:
        set_precision(network, evaluation="O2")
    mixed = [network(IMAGES).asnumpy() for network in networks]
    assert 0 < np.abs(mixed[0] - expected).max() < 0.01 * np.abs(expected).max()
    assert_near(mixed[1], mixed[0], tolerance=0.002)


# Counted with MindSpore's own operators, in graphs that are not built for a device


def transposed_weights(network):
    convolutions = [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.Conv2d)]
    return sum(conv.kernel_size != (1, 1) and conv.in_channels > conv.group for conv in convolutions)


@pytest.mark.parametrize("name", ["skresnet50d", slow("skshufflenet_v2_x0_5"), slow("sknet50")])
def test_only_images_and_some_weights_are_transposed(name):
    columns = ("prepared", "prepared, channels last", "training, channels last")
    options = {key: value for key, value in NETWORKS[name].items() if key not in DROPS}
    plain, inference, training = counts_of(name, 64, columns, **options).values()
    weights = transposed_weights(create_model(name, device_forms=False, **options))
    assert inference["Transpose"] == 1 and inference["Reshape"] == plain["Reshape"]
    assert training["Transpose"] == 1 + 2 * weights  # the gradients back
    assert training["Conv2DBackpropFilter"] == training["Conv2D"] == inference["Conv2D"]


class Middle(nn.Cell):
    def construct(self, x):
        return x[:, :, 1:-1, 1:-1]


def with_middle(network):
    network.stages[0][0].attention = Middle()


def without_relu(network):
    network.stem.act = nn.Identity()


def with_counted_padding(network):
    network.stages[0][0].attention = nn.AvgPool2d(3, 1, pad_mode="pad", padding=1)


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        (with_middle, r"stages\.0\.0\.attention of this network, Middle,"),
        (without_relu, r"pool of this network, MaxPool2d,"),  # its padding may be the maximum
        (with_counted_padding, r"stages\.0\.0\.attention of this network, AvgPool2d,"),
    ],
)
def test_a_layer_without_a_form_is_refused_by_name(stand_ins, change, layer):
    network = create_model("resnet18", layers=(1, 1), planes=(8, 8), device_forms=False)
    change(network)
    with pytest.raises(ValueError, match=f"the layer {layer} has no form with channels last"):
        use_channels_last(network)
    assert network.channel_axis == network.average.channel_axis == 1


def test_only_networks_of_the_package_have_the_form(stand_ins):
    with pytest.raises(ValueError, match="ConvNormAct is not a network of list_models"):
        use_channels_last(ConvNormAct(3, 4, 3))


# Inference for any device but a CPU


@pytest.mark.parametrize(("name", "options", "layers"), [("sknet50", SHORT, 2), slow("sknet50", {}, 16)])
def test_a_prepared_network_has_no_more_operators_than_needed(name, options, layers):
    before, after = counts_of(name, 64, ("inference", "prepared"), **options).values()
    assert not after.keys() & {"BatchNorm", "Cast", "Concat", "Mul", "Reshape", "Softmax", "Split", "Transpose"}
    norms = before["BatchNorm"]
    # A selective kernel: the sum of its branches, their mean, the difference of two logits, its sigmoid, the selection.
    assert after["Lerp"] == after["Sigmoid"] == layers and after["ReduceMean"] == layers + 1
    assert after["Conv2D"] == before["Conv2D"] and after["BiasAdd"] == norms + 1 and after["MatMul"] == 1
    assert after["Add"] == 2 * layers  # of branches, and of blocks with their shortcuts
    assert before.total() - after.total() == 5 * layers  # Reshape, Softmax, Reshape, Split, Mul, Mul, Add


# The option


def test_on_a_cpu_the_option_is_an_error_that_says_what_to_do(tmp_path, tiny_model, capsys):
    message = fails(train.main, small_run(tmp_path, "--channels_last"), capsys)
    assert "on a GPU only, and this device is another one. Leave it out; --channels_last=false resumes" in message


def test_weights_are_used_in_any_layout():
    config = load_config(["--ckpt_path=a.ckpt"], prog="validate")
    weights = Checkpoint(Path("a.ckpt"), {}, {"config": {"channels_last": True, "val_amp_level": "O2"}})
    assert assemble_weights._inherited(config, weights) == {"val_amp_level": "O2"}
