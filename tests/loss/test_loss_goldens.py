"""Losses and gradients against timm, torchvision and PyTorch: see tests/goldens/make_loss_goldens.py."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindcv.loss import LOSSES, create_loss
from mindcv.runtime import setup_runtime

GOLDENS = np.load(Path(__file__).parents[1] / "goldens" / "loss_goldens.npz")
WEIGHTS = {"class_weights": tuple(GOLDENS["class_weights"].tolist())}
# case -> name of the loss, labels, options
CASES = {
    "ce_smoothing": ("CE", "indices", {"label_smoothing": 0.1}),
    "ce_soft": ("CE", "soft", {}),
    "ce_weights": ("CE", "indices", {"label_smoothing": 0.2, **WEIGHTS}),
    "ce_weights_sum": ("CE", "soft", {"label_smoothing": 0.2, "reduction": "sum", **WEIGHTS}),
    "bce": ("BCE", "indices", {"label_smoothing": 0.1}),
    "bce_soft": ("BCE", "soft", {"label_smoothing": 0.1}),
    "bce_threshold": ("BCE", "soft", {"bce_target_thresh": 0.2}),
    "bce_threshold_smoothing": ("BCE", "indices", {"label_smoothing": 0.3, "bce_target_thresh": 0.05}),
    "bce_classes_added": ("BCE", "indices", {"label_smoothing": 0.1, "bce_sum": True}),
    "bce_weights": ("BCE", "hits", WEIGHTS),
    "bce_sum": ("BCE", "hits", {"reduction": "sum"}),
    "jsd": ("JSD", "indices", {"label_smoothing": 0.1, "aug_splits": 3}),
    "jsd_two": ("JSD", "indices", {"aug_splits": 2}),
    "asl_single": ("asl_single_label", "indices", {"label_smoothing": 0.1}),
    "asl_single_powers": ("asl_single_label", "indices", {"asl_gamma_pos": 2.0, "asl_gamma_neg": 3.0}),
    "asl_multi": ("asl_multi_label", "hits", {}),
    "asl_multi_no_clip": (
        "asl_multi_label",
        "hits",
        {"asl_gamma_pos": 0.0, "asl_gamma_neg": 2.0, "asl_clip": 0.0},
    ),
    "focal": ("focal", "indices", {}),
    "focal_no_alpha": ("focal", "hits", {"reduction": "sum", "focal_alpha": None, "focal_gamma": 1.5}),
}


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_those_of_the_reference(case):
    setup_runtime(mode=1, device_target="CPU")
    name, labels, options = CASES[case]
    loss, gradient = ms.value_and_grad(create_loss(name, **options))(Tensor(GOLDENS["logits"]), Tensor(GOLDENS[labels]))
    expected = GOLDENS[f"{case}/gradient"]
    assert float(loss) == pytest.approx(float(GOLDENS[f"{case}/loss"]), rel=3e-6)
    np.testing.assert_allclose(gradient.asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_every_loss_and_case_is_compared():
    assert {name for name, _, _ in CASES.values()} == {*LOSSES}
    assert {key.partition("/")[0] for key in GOLDENS.files if "/" in key} == {*CASES}
