"""Training losses by name. Imports MindSpore only to build one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mindcv.arguments import (
    ASL_CLIP,
    ASL_GAMMA_NEG,
    ASL_GAMMA_POS,
    AUX_FACTOR,
    BCE_TARGET_THRESH,
    FOCAL_ALPHA,
    FOCAL_GAMMA,
    LABEL_SMOOTHING,
    REDUCTION,
)
from mindcv.keywords import also_called
from mindcv.registry import Registry

if TYPE_CHECKING:
    from mindspore import nn

# A loss takes the number of augmentation splits, which the loader makes, and, as keywords, the options that it uses:
# choices, help and remarks on options without effect follow from this record.
LOSSES: Registry[Callable[..., Any]] = Registry("loss")

MULTI_LABEL = ("BCE", "asl_multi_label", "focal")  # for several labels per image: each class is a question of its own


@LOSSES.register("CE")
def _cross_entropy(_: int, *, label_smoothing: float, reduction: str, class_weights: Sequence[float] | None) -> nn.Cell:
    from mindcv.loss.cross_entropy import CrossEntropy

    return CrossEntropy(label_smoothing, reduction, class_weights)


@LOSSES.register("BCE")
def _binary_cross_entropy(
    _: int,
    *,
    label_smoothing: float,
    reduction: str,
    class_weights: Sequence[float] | None,
    bce_target_thresh: float | None,
    bce_sum: bool,
) -> nn.Cell:
    from mindcv.loss.binary_cross_entropy import BinaryCrossEntropy

    return BinaryCrossEntropy(label_smoothing, reduction, bce_target_thresh, bce_sum, class_weights)


@LOSSES.register("JSD")
def _jensen_shannon(
    aug_splits: int, *, label_smoothing: float, reduction: str, class_weights: Sequence[float] | None
) -> nn.Cell:
    from mindcv.loss.jensen_shannon import JensenShannon

    return JensenShannon(aug_splits, label_smoothing, reduction, class_weights)


@LOSSES.register("asl_single_label")
def _asymmetric_single_label(
    _: int, *, label_smoothing: float, reduction: str, asl_gamma_pos: float, asl_gamma_neg: float
) -> nn.Cell:
    from mindcv.loss.focusing import AsymmetricSingleLabel

    return AsymmetricSingleLabel(label_smoothing, reduction, asl_gamma_pos, asl_gamma_neg)


@LOSSES.register("asl_multi_label")
def _asymmetric_multi_label(
    _: int, *, reduction: str, asl_gamma_pos: float, asl_gamma_neg: float, asl_clip: float
) -> nn.Cell:
    from mindcv.loss.focusing import AsymmetricMultiLabel

    return AsymmetricMultiLabel(reduction, asl_gamma_pos, asl_gamma_neg, asl_clip)


@LOSSES.register("focal")
def _focal(_: int, *, label_smoothing: float, reduction: str, focal_gamma: float, focal_alpha: float | None) -> nn.Cell:
    from mindcv.loss.focusing import Focal

    return Focal(label_smoothing, reduction, focal_gamma, focal_alpha)


@also_called({"name": "loss", "weight": "class_weights"})
def create_loss(
    loss: str = "CE",
    *,
    label_smoothing: float = LABEL_SMOOTHING.default,
    reduction: str = REDUCTION.default,
    aux_factor: float = AUX_FACTOR.default,
    class_weights: Sequence[float] | None = None,
    bce_target_thresh: float | None = BCE_TARGET_THRESH.default,
    bce_sum: bool = False,
    focal_gamma: float = FOCAL_GAMMA.default,
    focal_alpha: float | None = FOCAL_ALPHA.default,
    asl_gamma_pos: float = ASL_GAMMA_POS.default,
    asl_gamma_neg: float = ASL_GAMMA_NEG.default,
    asl_clip: float = ASL_CLIP.default,
    aug_splits: int = 0,
) -> nn.Cell:
    """Create a loss: a Cell from logits (B, K) and labels (B,) int32 or (B, K) float to the mean over the batch.

    Args:
        loss: "CE", softmax cross-entropy; "BCE", binary cross-entropy; "JSD", cross-entropy and the divergence between
            augmented copies; "asl_single_label", "asl_multi_label", asymmetric losses; "focal", focal loss.
        label_smoothing: probability mass moved to the uniform distribution over all classes, in [0, 1); not for
            "asl_multi_label".
        reduction: "mean" or "sum" over the batch.
        aux_factor: share of the loss of auxiliary logits, >= 0. Above 0 the network must return a tuple in training:
            (logits, auxiliary logits, ...). Such a network has an attribute `aux_logits` that is True.
        class_weights: K numbers > 0, for "CE", "BCE" and "JSD"; None: all 1.
        bce_target_thresh: for "BCE", in [0, 1): labels above it become 1, others 0; None: labels as they are.
        bce_sum: for "BCE": the sum over the classes instead of the mean.
        focal_gamma: for "focal", >= 0: power of the probability of the wrong answer.
        focal_alpha: for "focal", in (0, 1): weight of labels of 1, where those of 0 have 1 - focal_alpha; None: no
            such weights.
        asl_gamma_pos, asl_gamma_neg: for the asymmetric losses, >= 0: the same power for labels of 1, and of 0.
        asl_clip: for "asl_multi_label", in [0, 1): subtracted from the probability where the label is 0.
        aug_splits: for "JSD", >= 2: number of copies of each image in a batch.

    Returns:
        A Cell whose output is () float32, in nats.

    Raises:
        ValueError: if the name is unknown or a number out of range.
    """
    build = LOSSES.get(loss)
    values = {
        "label_smoothing": label_smoothing,
        "reduction": reduction,
        "class_weights": class_weights,
        "bce_target_thresh": bce_target_thresh,
        "bce_sum": bce_sum,
        "focal_gamma": focal_gamma,
        "focal_alpha": focal_alpha,
        "asl_gamma_pos": asl_gamma_pos,
        "asl_gamma_neg": asl_gamma_neg,
        "asl_clip": asl_clip,
    }
    criterion = build(aug_splits, **{key: values[key] for key in LOSSES.options(loss)})
    if aux_factor == 0:
        return criterion

    from mindcv.loss.auxiliary import WithAuxiliary

    return WithAuxiliary(criterion, aux_factor)
