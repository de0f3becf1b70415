"""Check that batch norms can compute statistics from the training batches."""

from mindspore import nn

from mindcv.models.classifier import Classifier
from mindcv.models.layers.selective_kernel import SKFuse


def check_batch_norms(network: Classifier, batch_size: int, image_size: int) -> None:
    """Raise ValueError if a batch norm would see a single value per channel: its variance is then undefined.

    Frozen batch norms use their running statistics and are not affected.

    Args:
        network: after `freeze`.
        batch_size: images in the smallest batch.
        image_size: height and width of the input, pixels.
    """
    if batch_size > 1:
        return
    for part, stride in zip([network.stem, *network.stages], network.feature_strides, strict=False):
        side = -(-image_size // stride)
        for pooled, norm in _training_norms(part):
            if pooled or side == 1:
                where = "the pooled descriptor of a selective kernel" if pooled else "a feature map of 1 x 1 pixels"
                raise ValueError(
                    f"a batch of one image cannot train this network at {image_size} x {image_size} pixels: "
                    f"{norm} normalises {where}, one value per channel, whose variance is undefined. Use batches "
                    "of at least 2 images (--batch_size; --drop_remainder leaves out a last batch of one), or keep "
                    "the running statistics: --freeze_bn=all."
                )


def _training_norms(part: nn.Cell) -> list[tuple[bool, str]]:
    """(whether its input is pooled to one pixel, name) of every batch norm that computes statistics of the batch."""
    pooled = {id(cell.bn) for _, cell in part.cells_and_names() if isinstance(cell, SKFuse)}
    return [
        (id(norm) in pooled, norm.gamma.name.rpartition(".")[0])
        for _, norm in part.cells_and_names()
        if isinstance(norm, nn.BatchNorm2d) and norm.use_batch_statistics is not False
    ]
