"""class_weights of the configuration: numbers of the classes, given or balanced; and losses that a network lacks."""

import numpy as np
import pytest
from config_lines import train
from mindspore import Tensor
from sklearn.utils.class_weight import compute_class_weight

from assemble_training import build_step, weigh_classes
from mindcv.compile_cache.key import graph_key
from mindcv.data.dataset import ArrayDataset
from mindcv.engine import RunLength
from mindcv.loss import create_loss


def dataset(labels, names=("cat", "dog", "owl")) -> ArrayDataset:
    return ArrayDataset("pets", "train", names, np.zeros((len(labels), 1, 1, 3), np.uint8), np.array(labels), [])


def weights(training, *line):
    return weigh_classes(train("--dataset=pets", *line), training).loss.class_weights


def test_balanced_weights_are_scikit_learns():
    training = dataset([0, 0, 0, 0, 1, 2, 2, 0])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=training.labels)
    assert weights(training, "--class_weights=balanced") == pytest.approx(tuple(expected), rel=1e-12)
    training.keep(6, seed=1)  # of those that are used
    assert len(set(training.labels)) == 3
    expected = compute_class_weight("balanced", classes=np.arange(3), y=training.labels)
    assert weights(training, "--class_weights=balanced", "--loss=bce") == pytest.approx(tuple(expected), rel=1e-12)


def test_given_weights_are_used_as_they_are():
    assert weights(dataset([0, 1, 2]), "--class_weights=1,0.5,2") == (1.0, 0.5, 2.0)
    assert weights(dataset([0, 1, 2])) is None


def test_weights_that_do_not_fit_the_classes_are_an_error():
    with pytest.raises(ValueError, match="must be 3 numbers, one for each class of data set 'pets'; got 2"):
        weights(dataset([0, 1, 2]), "--class_weights=1,2")
    with pytest.raises(ValueError, match=r"at least one training image of each class; there is none of 'dog', 'owl'\."):
        weights(dataset([0, 0]), "--class_weights=balanced")
    with pytest.raises(ValueError, match=r"class_weights: '1,0' is not numbers > 0 or balanced or none"):
        train("--class_weights=1,0")


def test_weights_that_the_loss_does_not_use_are_a_remark():
    line = ("--class_weights=balanced", "--loss=focal")
    assert "class_weights has no effect with loss=focal" in train("--dataset=pets", *line).notices
    assert weights(dataset([0, 0]), *line) == "balanced"


def test_other_weights_make_another_graph():
    inputs = (Tensor(np.zeros((2, 3), np.float32)), Tensor(np.zeros(2, np.int32)))
    losses = [create_loss("CE", class_weights=numbers) for numbers in (None, (1.0, 1.0, 1.0), (1.0, 1.0, 2.0))]
    assert len({graph_key({}, loss, inputs) for loss in losses}) == 3  # the same option: class_weights=balanced


def test_options_of_one_loss_have_no_effect_on_another():
    notices = train("--dataset=pets", "--bce_sum", "--asl_clip=0.1", "--label_smoothing=0.1", "--focal_gamma=1").notices
    idle = [line.split()[0] for line in notices if line.endswith("has no effect with loss=CE")]
    assert sorted(idle) == ["asl_clip", "bce_sum", "focal_gamma"]
    assert (
        "label_smoothing has no effect with loss=asl_multi_label"
        in train("--dataset=pets", "--loss=asl_multi_label", "--label_smoothing=0.1").notices
    )
    assert (
        "bce_sum has no effect with reduction=sum"
        in train("--dataset=pets", "--loss=BCE", "--bce_sum", "--reduction=sum").notices
    )


def test_an_auxiliary_factor_needs_a_network_with_auxiliary_logits(tiny_network):
    resolved, network = train("--dataset=pets", "--model=resnet18", "--aux_factor=0.3"), tiny_network()
    with pytest.raises(ValueError, match=r"aux_factor=0.3 \(command line\), but resnet18 has no auxiliary classifiers"):
        build_step(resolved, network, RunLength(90, 5))
    network.aux_logits = True
    step, _ = build_step(resolved, network, RunLength(90, 5))
    assert step.loss.aux_factor == 0.3


def test_a_reduction_that_gives_no_number_is_refused_by_name():
    with pytest.raises(ValueError, match="reduction: 'none' is not one of mean, sum"):
        train("--reduction=none")
