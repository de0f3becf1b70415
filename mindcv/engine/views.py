"""Test-time augmentation: the mean prediction for several views of each image."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn

_CROPPED = ("five_crop", "ten_crop")
_FLIPPED = ("hflip", "ten_crop")


class AveragedViews:
    """A network that is asked for several views of each image; it replaces the network in evaluation.

    (B, C, S, S) float32 images -> (B, num_classes) float64: the logarithms of the mean probabilities, which are logits
    of them; with several labels, the logits of the mean probability of each class. All views are batches of one size,
    so that one compiled graph serves them.

    Args:
        network: (B, C, side, side) -> (B, num_classes) logits.
        tta: the views. "hflip": the image and its reflection. "five_crop": its corners and its centre; "ten_crop":
            these and their reflections.
        side: height and width of the network's input, pixels. Crops need larger images: see `size_to_load`.
        multi_label: whether probabilities are those of each class for itself, the sigmoids of the logits.
    Sources: Krizhevsky et al. 2012, section 4.1 (ten crops), and Simonyan and Zisserman 2015,
        https://arxiv.org/abs/1409.1556, section 3.2 (reflections); both average probabilities, not logits.
    """

    def __init__(self, network: nn.Cell, tta: str, side: int, *, multi_label: bool = False) -> None:
        self.network, self.tta, self.side, self.multi_label = network, tta, side, multi_label

    @property
    def training(self) -> bool:
        return bool(self.network.training)

    def set_train(self, mode: bool = True) -> Any:
        return self.network.set_train(mode)

    def __call__(self, images: Tensor) -> Tensor:
        with np.errstate(invalid="ignore"):  # logits that are not finite give NaN
            logits = [self.network(Tensor(view)).asnumpy().astype(np.float64) for view in self.views(images.asnumpy())]
            if self.multi_label:  # log(p / (1 - p)) of the mean p
                return Tensor(_sum_of_sigmoids(logits) - _sum_of_sigmoids([-each for each in logits]))
            return Tensor(np.logaddexp.reduce([_log_softmax(each) for each in logits]) - math.log(len(logits)))

    def views(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """(B, C, S, S) -> batches of (B, C, side, side)."""
        for view in self._crops(images) if self.tta in _CROPPED else [images]:
            yield np.ascontiguousarray(view)
            if self.tta in _FLIPPED:
                yield np.ascontiguousarray(view[..., ::-1])

    def _crops(self, images: np.ndarray) -> Iterator[np.ndarray]:
        room = images.shape[-1] - self.side
        assert images.shape[-2] == images.shape[-1] and room > 0, images.shape
        for top, left in ((0, 0), (0, room), (room, 0), (room, room), (room // 2, room // 2)):
            yield images[..., top : top + self.side, left : left + self.side]


def with_views(network: nn.Cell, tta: str, side: int, *, multi_label: bool = False) -> Callable[[Tensor], Tensor]:
    """The network, or with another `tta` than "none" its mean prediction over views; see AveragedViews."""
    return network if tta == "none" else AveragedViews(network, tta, side, multi_label=multi_label)


def size_to_load(tta: str, image_resize: int, crop_pct: float) -> dict[str, Any]:
    """The image_resize and crop_pct for loading images: those given, or for crops those of the whole resized image.

    Raises:
        ValueError: if crops of that image would all be the same.
    """
    whole = int(image_resize / crop_pct + 1e-9)  # as in `create_transforms`
    if tta not in _CROPPED:
        return {"image_resize": image_resize, "crop_pct": crop_pct}
    if whole == image_resize:
        raise ValueError(
            f"tta={tta} crops {image_resize} pixels from images of that size, crop_pct being {crop_pct:g}: all views "
            "would be the same. Use --tta=hflip, or --crop_pct below 1."
        )
    return {"image_resize": whole, "crop_pct": 1.0}


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """(B, K) float64 logits -> (B, K) log-probabilities."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _sum_of_sigmoids(logits: Sequence[np.ndarray]) -> np.ndarray:
    """The logarithm of the sum over several arrays of float64 logits of their sigmoids."""
    return np.logaddexp.reduce([-np.logaddexp(0.0, -each) for each in logits])
