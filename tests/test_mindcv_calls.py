"""Python calls written for MindCV: the same keywords where they mean the same, else a sentence with ours."""

import inspect

import mindspore as ms
import numpy as np
import pytest
from mindspore import Model, nn, ops

import mindcv
from mindcv.data import Loader, create_dataset, create_loader, create_transforms
from mindcv.loss import create_loss
from mindcv.models import create_model, registry
from mindcv.models.factory import MODELS
from mindcv.optim import create_optimizer
from mindcv.scheduler import create_scheduler
from mindcv.utils import StateMonitor, ValCallback, create_trainer, get_metrics

OF_MINDCV = {"dataset_name": "mnist", "image_resize": 12}


@pytest.fixture(autouse=True)
def pynative():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def digits(split="train", **options):
    return create_dataset("digits", split=split, num_samples=20, **options)


def loader(**options):
    transform = create_transforms(**OF_MINDCV, is_training=True)
    options = {"batch_size": 8, "is_training": True, "num_classes": 10, "transform": transform, **options}
    return create_loader(dataset=digits(num_parallel_workers=1), **options)


def parameters():
    return [ms.Parameter(np.ones(2, np.float32), name="w")]


def updated(*args, **options):
    """The parameter after two updates with the gradient 1."""
    (parameter,) = weights = parameters()
    optimizer = create_optimizer(weights, *args, **options)
    for _ in range(2):
        optimizer((ms.Tensor(np.ones(2, np.float32)),))
    return parameter.asnumpy().tolist()


def batches(iterator):
    return [tuple(np.asarray(part) for part in batch) for batch in iterator]


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for part, other_part in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


# Keywords


@pytest.mark.parametrize(
    "theirs, ours",
    [
        (
            lambda: create_scheduler(steps_per_epoch=4, scheduler="multi_step_decay", num_epochs=3, milestones=[1, 2]),
            lambda: create_scheduler(
                "multi_step_decay", lr=0.01, epochs=3, updates_per_epoch=4, multi_step_decay_milestones=[1, 2]
            ),
        ),
        (
            lambda: create_scheduler(4, scheduler="constant", lr=0.5, warmup_epochs=0),
            lambda: [0.5] * 200 * 4,
        ),
        (
            lambda: registry.list_models(filter="sk*", pretrained=True),
            lambda: mindcv.list_models("sk*", pretrained=True),
        ),
        (lambda: registry.list_models(filter="", module="", exclude_filters=""), mindcv.list_models),
        (
            lambda: updated(opt="sgd", lr=0.1, nesterov=True, loss_scale=1.0, checkpoint_path=""),
            lambda: updated("sgd", lr=0.1, use_nesterov=True),
        ),
        (lambda: str(create_loss(name="CE")), lambda: str(create_loss("CE"))),
    ],
    ids=["scheduler", "scheduler by position", "filter", "no filter", "optimizer", "loss"],
)
def test_mindcvs_keywords_mean_ours(theirs, ours):
    assert theirs() == ours()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: create_loss(loss="CE", name="CE"), "create_loss: name and loss are one argument: give one"),
        (lambda: create_model(model_name="resnet18", ema=True), "create_model: ema=True .* option ema of train"),
        (lambda: create_model("resnet18", 10, True), "in_channels must be at least 1, got True"),
        (lambda: create_dataset(name="digits", num_shards=2), "create_dataset: num_shards=2 .* divides an epoch"),
        (lambda: create_dataset(name="digits", num_aug_repeats=3), "num_aug_repeats=3 .* aug_repeats"),
        (lambda: create_transforms(**OF_MINDCV, re_prob=0.1), "re_prob=0.1 .*=create_batch_transforms"),
        (lambda: create_transforms(**OF_MINDCV, separate=True), "separate=True .* aug_splits"),
        (lambda: create_transforms(dataset_name="imagnet"), r"unknown dataset_name 'imagnet'\. Did you mean 'im"),
        (lambda: create_optimizer(parameters(), lr=0.1, loss_scale=8.0), "loss_scale=8.0 .* train.py"),
        (lambda: create_optimizer(parameters(), lr=0.1, checkpoint_path="a"), "checkpoint_path='a' .* --resume"),
        (lambda: create_optimizer([{"params": parameters()}], lr=0.1), "groups of parameters are made here"),
        (lambda: registry.list_models(module="resnet"), r"module='resnet' .* list_models\(\"sk\*\"\)"),
        (lambda: loader(target_transform=ops.OneHot()), "target_transform=.* takes class numbers"),
        (lambda: loader(num_classes=9), "num_classes=9 is too few: data set 'digits' has 10 classes"),
        (lambda: create_loader(ms.dataset.NumpySlicesDataset([1]), 2), "must come from mindcv.create_dataset; got Num"),
        (lambda: StateMonitor(None, model_name="a"), "StateMonitor is not available here: train.py validates"),
        (lambda: create_trainer(None, None, None, {"accuracy"}, "O2", None, "fixed"), "amp_level='O2' .* train.py"),
        (lambda: mindcv.models.resnet49, "unknown name 'resnet49'.* Did you mean 'resnet"),
    ],
)
def test_what_means_something_else_is_answered_with_a_sentence(call, message):
    with pytest.raises((ValueError, AttributeError), match=message):
        call()


def test_signatures_are_still_ours():
    for factory in (create_dataset, create_transforms, create_model, create_loss, create_optimizer, create_scheduler):
        assert inspect.signature(factory) == inspect.signature(factory.__wrapped__)
        assert factory.__doc__


# Data


def test_a_folder_is_opened_without_a_name(tmp_path):
    from PIL import Image

    for split, colour in (("train", 10), ("val", 200)):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (colour,) * 3).save(folder / "a.png")
    dataset = create_dataset(root=str(tmp_path), split="val", shuffle=True, num_parallel_workers=1)
    assert (dataset.class_names, len(dataset), dataset.shuffle) == (("cat", "dog"), 2, True)
    images, labels = next(create_loader(dataset, batch_size=2, num_classes=2).create_tuple_iterator())
    assert (images.shape, images.dtype, labels.shape) == ((2, 3, 224, 224), ms.float32, (2,))
    assert create_dataset().name == "digits"


@pytest.mark.parametrize(
    "name, image, mean, std",
    [
        ("cifar10", (32, 32, 3), (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("CIFAR100", (32, 32, 3), (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("mnist", (28, 28, 1), (0.1307,), (0.3081,)),
    ],
)
def test_the_transforms_of_a_data_set_are_mindcvs(name, image, mean, std):
    pixels = np.random.default_rng(0).integers(0, 256, image, np.uint8)
    result = pixels
    for step in create_transforms(dataset_name=name, image_resize=image[0]):
        result = step(result)
    expected = (pixels / 255 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(result, expected.transpose(2, 0, 1), atol=1e-5)


def test_cifar_is_padded_by_an_eighth_before_the_random_crop():
    for side, padding in ((32, 4), (224, 28)):
        steps = create_transforms(dataset_name="cifar10", image_resize=side, is_training=True)
        (crop,) = [step for step in steps if isinstance(step, ms.dataset.vision.RandomCrop)]
        assert (crop.size, crop.padding) == ((side, side), (padding,) * 4)


def test_the_data_set_tells_the_loader_unless_the_loader_is_told():
    transform = create_transforms(**OF_MINDCV)
    for shuffle, is_training, shuffled in ((None, True, True), (None, False, False), (True, False, True)):
        dataset = digits(shuffle=shuffle, num_parallel_workers=1)
        made = create_loader(dataset, 8, is_training=is_training, transform=transform)
        assert (made.order(1).tolist() != sorted(made.order(1))) == shuffled
        assert made.num_parallel_workers == 1
    assert len(made) == 3
    assert len(create_loader(dataset, 8, drop_remainder=True, transform=transform)) == 2


def test_a_training_loader_mixes():
    _, labels = next(iter(loader(mixup=0.2, cutmix=1.0, cutmix_prob=1.0)))
    assert labels.shape == (8, 10)
    np.testing.assert_allclose(labels.asnumpy().sum(axis=1), 1, rtol=1e-6)
    assert next(iter(loader(mixup=0.2, cutmix_prob=1.0, is_training=False)))[1].shape == (8,)


# The loader as a data set of MindSpore


def test_each_iteration_is_the_next_epoch():
    made = loader()
    first, second = batches(made), batches(made)
    assert made.get_dataset_size() == len(made) == 3
    assert_same(first, batches(made.epoch(1)))
    assert_same(second, batches(made.epoch(2)))
    (images, labels), *_ = made
    assert (images.shape, images.dtype, labels.dtype) == ((8, 1, 12, 12), ms.float32, ms.int32)


def test_an_iterator_goes_on_with_the_next_epoch():
    made = loader()
    iterator = made.create_tuple_iterator(num_epochs=2, output_numpy=True)
    assert_same(batches(iterator), batches(made.epoch(1)))
    assert_same(batches(iterator), batches(made.epoch(2)))
    assert batches(iterator) == []
    named = next(made.create_dict_iterator(output_numpy=True))
    assert_same([(named["image"], named["label"])], batches(made.epoch(3))[:1])


def train_by_hand(network, data, epochs):
    """Losses of every step, and the accuracy on the next epoch."""
    loss, optimizer = create_loss("CE"), create_optimizer(network, "momentum", lr=0.05)
    step = ms.value_and_grad(lambda images, labels: loss(network(images), labels), None, optimizer.parameters)
    losses = []
    network.set_train()
    for epoch in range(1, epochs + 1):
        for images, labels in data.epoch(epoch):
            value, gradients = step(ms.Tensor(images), ms.Tensor(labels))
            optimizer(gradients)
            losses.append(float(value))
    network.set_train(False)
    right = [network(ms.Tensor(x)).asnumpy().argmax(1) == y for x, y in data.epoch(epochs + 1)]
    return losses, np.concatenate(right).mean()


class Losses(ms.Callback):
    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_step_end(self, run_context):
        self.values.append(float(run_context.original_args().net_outputs))


def one_dense_layer():
    ms.set_seed(7)
    return nn.SequentialCell(nn.Flatten(), nn.Dense(144, 10))


def test_the_model_of_mindspore_trains_and_evaluates_with_a_loader(capsys):
    losses, accuracy = train_by_hand(one_dense_layer(), loader(), 2)
    network, recorded, made = one_dense_layer(), Losses(), loader()
    optimizer = create_optimizer(network, "momentum", lr=0.05)
    model = create_trainer(network, create_loss(name="CE"), optimizer, {"accuracy"}, "O0", "", "fixed", loss_scale=1)
    assert isinstance(model, Model)
    model.train(2, made, callbacks=[recorded], dataset_sink_mode=False)
    np.testing.assert_allclose(recorded.values, losses, rtol=1e-5)
    assert model.eval(made, callbacks=[ValCallback(2)])["accuracy"] == pytest.approx(accuracy)
    assert capsys.readouterr().out.splitlines() == ["batch 2/3", "batch 3/3"]
    model.fit(1, made, loader(is_training=False))
    assert len(recorded.values) == 6


def test_top_5_is_a_metric_from_5_classes_on():
    assert list(get_metrics(4)) == ["Top_1_Accuracy"]
    assert list(get_metrics(5)) == ["Top_1_Accuracy", "Top_5_Accuracy"]


# Models


def test_every_network_is_a_function_of_the_package():
    network = mindcv.models.resnet18(False, 3, 1, drop_rate=0.1)
    assert network.description == {"model": "resnet18", "num_classes": 3, "in_channels": 1, "arch": {}}
    assert registry.model_entrypoint("sknet50").__name__ == "sknet50"


def test_a_network_of_ones_own_is_built_by_its_name():
    @mindcv.register_model
    def one_layer(pretrained=False, num_classes=1000, in_channels=3, **options):
        return nn.SequentialCell(nn.Conv2d(in_channels, num_classes, 3, pad_mode="pad"), Mean(**options))

    try:
        assert mindcv.is_model("one_layer")
        assert not mindcv.is_model_pretrained("one_layer")
        assert mindcv.is_model_pretrained("resnet50")
        assert not mindcv.is_model("two_layers")
        network = create_model(model_name="one_layer", num_classes=4, keep=True)
        assert network(ms.Tensor(np.ones((2, 3, 5, 5), np.float32))).shape == (2, 4, 1, 1)
        with pytest.raises(ValueError, match="no weights are published for 'one_layer'"):
            create_model("one_layer", pretrained=True)
        with pytest.raises(ValueError, match="'one_layer' is registered already"):
            mindcv.register_model(one_layer)
        with pytest.raises(ValueError, match=r"one_layer does not take these arguments: .*drop_rate"):
            create_model("one_layer", drop_rate=0.5)
    finally:
        MODELS._entries.pop("one_layer")


class Mean(nn.Cell):
    def __init__(self, keep=False):
        super().__init__()
        self.keep = keep

    def construct(self, x):
        return x.mean((2, 3), self.keep)


def test_the_loader_is_still_ours():
    assert isinstance(loader(), Loader)
    assert mindcv.create_loader is create_loader
    assert mindcv.data.create_loader is create_loader
