"""Transforms from a data set's image to the (C, H, W) float32 array a model takes."""

from collections.abc import Callable, Sequence
from typing import Any

import mindspore.dataset.vision as vision
import numpy as np
from mindspore.dataset.vision import ConvertMode, Inter
from PIL.Image import Resampling

from mindcv import arguments as legal
from mindcv.data.auto_augment import create_auto_augment
from mindcv.data.erasing import RandomErasing
from mindcv.data.mixup import Mixing, SoftLabels
from mindcv.data.pillow_ops import RANDOM_FILTERS, Canvas
from mindcv.data.presets import by_data_set
from mindcv.data.random_stage import (
    ColorJitter,
    ImageOperation,
    RandomResize,
    RandomResizedCrop,
    RandomStage,
    Sometimes,
    blur,
    to_grey,
)
from mindcv.keywords import also_called

ImageTransform = Callable[[np.ndarray], np.ndarray]
# (B, C, H, W) images, (B,) or (B, K) labels and a random generator -> images, labels
BatchTransform = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
BatchTransforms = Callable[[int], Sequence[BatchTransform]]  # number of an epoch, from 1 -> its operations, in order

# Bicubic is Pillow's, bit-identical, with antialiasing, as timm's published weights expect. OpenCV's differs by 4 grey
# levels on average at 500 -> 341 pixels and is 13 % faster in training.
_RESAMPLING = {"bilinear": Inter.BILINEAR, "bicubic": Inter.PILCUBIC, "nearest": Inter.NEAREST}
_PILLOW_FILTERS = {
    "bilinear": (Resampling.BILINEAR,),
    "bicubic": (Resampling.BICUBIC,),
    "nearest": (Resampling.NEAREST,),
    "random": RANDOM_FILTERS,
}


_ON_BATCHES = "random erasing works on finished batches: Loader(batch_transforms=create_batch_transforms(...))"


@by_data_set
@also_called(
    {},
    {
        "separate": (False, "the option aug_splits of train.py makes augmentation splits"),
        "re_prob": (0, _ON_BATCHES),
        **dict.fromkeys(("re_scale", "re_ratio", "re_value", "re_max_attempts"), (None, _ON_BATCHES)),
    },
)
def create_transforms(
    *,
    is_training: bool,
    image_resize: int = legal.IMAGE_RESIZE.default,
    in_channels: int = legal.IN_CHANNELS.default,
    interpolation: str = legal.INTERPOLATION.default,
    mean: Sequence[float] = legal.MEAN.default,
    std: Sequence[float] = legal.STD.default,
    crop_pct: float = legal.CROP_PCT.default,
    scale: Sequence[float] = legal.SCALE.default,
    ratio: Sequence[float] = legal.RATIO.default,
    hflip: float = legal.HFLIP.default,
    vflip: float = legal.VFLIP.default,
    color_jitter: float | Sequence[float] | None = legal.COLOR_JITTER.default,
    color_jitter_prob: float | None = legal.COLOR_JITTER_PROB.default,
    grayscale_prob: float = legal.GRAYSCALE_PROB.default,
    gaussian_blur_prob: float = legal.GAUSSIAN_BLUR_PROB.default,
    auto_augment: str | None = legal.AUTO_AUGMENT.default,
    random_crop_padding: int | None = legal.RANDOM_CROP_PADDING.default,
    train_interpolation: str | None = legal.TRAIN_INTERPOLATION.default,
    no_aug: bool = legal.NO_AUG.default,
    encoded: bool = True,
    channels: int = 3,
) -> list[ImageTransform | RandomStage]:
    """Return the operations on one image, in the order in which they are applied.

    The first one takes an image as `Dataset` gives it, the last one gives (in_channels, image_resize, image_resize)
    float32, normalised. Operations on finished batches are in `create_batch_transforms`.

    Args:
        is_training: random augmentation if true; else resize, centre crop and normalise, without randomness.
        image_resize: side of the result in pixels.
        in_channels: 3 (grey images are repeated) or 1 (colour images become their luminance, ITU-R 601).
        interpolation: "bilinear" and "nearest" are OpenCV's; "bicubic" is Pillow's, for pixels with one channel
            OpenCV's.
        mean, std: per channel, in units of 0..1; if any of them is above 1, all are in units of 0..255. A single
            value is used for all channels; for one channel, ImageNet's three are averaged.
        crop_pct: evaluation: the crop's side as a fraction of the resized image's shorter side, in (0, 1]; that side
            is rounded down, as timm and MindCV do.
        scale, ratio: training: range of the random crop's area (fraction of the image) and of its width / height.
        hflip, vflip: training: probabilities of horizontal and vertical flips.
        color_jitter: training: strength for brightness, contrast and saturation (one number), or three, or four with
            hue (at most 0.5); strength s multiplies by a factor in [1 - s, 1 + s]. None or 0: off.
        color_jitter_prob: training: probability of colour jitter. None: every image.
        grayscale_prob: training: probability of making a colour image grey.
        gaussian_blur_prob: training: probability of a blur of 0.1 to 2 pixels (standard deviation).
        auto_augment: training: a policy of `create_auto_augment`, applied after the flips and, as in timm, instead of
            `color_jitter` except for 3-Augment; uncovered pixels get the colour `mean`. None: off.
        random_crop_padding: training: instead of the random resized crop, pad the resized image with this many black
            pixels on each side and crop at random (as on CIFAR).
        train_interpolation: training: replaces `interpolation`; "random": Pillow's bilinear or bicubic, drawn per
            image and, in `auto_augment`, per operation. None: as `interpolation`.
        no_aug: training: resize and centre crop instead of all that is random.
        encoded, channels: the data set's attributes of these names.

    Raises:
        ValueError: if an argument is out of range.
    """
    legal.IMAGE_RESIZE.check(image_resize)
    legal.IN_CHANNELS.check(in_channels)
    legal.INTERPOLATION.check(interpolation)
    legal.CROP_PCT.check(crop_pct)
    legal.SCALE.check(tuple(scale))
    legal.RATIO.check(tuple(ratio))
    legal.HFLIP.check(hflip)
    legal.VFLIP.check(vflip)
    legal.RANDOM_CROP_PADDING.check(random_crop_padding)
    legal.COLOR_JITTER_PROB.check(color_jitter_prob)
    legal.GRAYSCALE_PROB.check(grayscale_prob)
    legal.GAUSSIAN_BLUR_PROB.check(gaussian_blur_prob)
    legal.TRAIN_INTERPOLATION.check(train_interpolation)
    color_steps: list[ImageTransform | RandomStage] = []
    if not is_training:
        geometry = [vision.Decode()] * encoded
        resampling = _resampling(interpolation, channels)
        geometry += [vision.Resize(int(image_resize / crop_pct + 1e-9), resampling), vision.CenterCrop(image_resize)]
    elif no_aug:
        geometry = _random_geometry(image_resize, interpolation, (1, 1), (1, 1), None, encoded, channels)
    else:
        chosen = train_interpolation or interpolation
        geometry = _random_geometry(image_resize, chosen, scale, ratio, random_crop_padding, encoded, channels)
        geometry += _flips(hflip, vflip)
        if auto_augment is None and color_jitter_prob is None and not grayscale_prob and not gaussian_blur_prob:
            strengths = _jitter_strengths(color_jitter, in_channels)
            if any(strengths):
                color_steps, channels = [*_to_rgb(channels), _color_adjustment(*strengths)], 3
        else:
            colours = min(channels, in_channels)  # 1: what is seen is grey
            strengths = _jitter_strengths(color_jitter, colours)
            operations: list[ImageOperation] = []
            if auto_augment is not None:
                fill = normalization(mean, std, in_channels)[0]
                fill = fill if colours == 3 else (sum(fill) / len(fill),) * channels
                colour = tuple(min(max(round(value), 0), 255) for value in fill)
                operations.append(create_auto_augment(auto_augment, Canvas(_PILLOW_FILTERS[chosen], colour)))
            if any(strengths) and (auto_augment is None or legal.keeps_color_jitter(auto_augment)):
                jitter = ColorJitter(*strengths)
                operations.append(jitter if color_jitter_prob is None else Sometimes(color_jitter_prob, jitter))
            if grayscale_prob and colours == 3:
                operations.append(Sometimes(grayscale_prob, to_grey))
            if gaussian_blur_prob:
                operations.append(Sometimes(gaussian_blur_prob, blur))
            color_steps = [RandomStage(operations, of_views=True)] if operations else []

    channel_steps, restore_axis = [], []
    if channels == 1 and in_channels == 3:
        channel_steps = [vision.ConvertColor(ConvertMode.COLOR_GRAY2RGB)]
    elif channels == 3 and in_channels == 1:
        channel_steps = [vision.ConvertColor(ConvertMode.COLOR_RGB2GRAY)]  # gives (H, W)
        restore_axis = [_add_channel_axis]
    return [
        *geometry,  # encoded or (H, W, C) -> (image_resize, image_resize, C)
        *color_steps,
        *channel_steps,
        *restore_axis,
        vision.HWC2CHW(),  # before Normalize: 4 % faster on bytes than on floats
        vision.Normalize(*normalization(mean, std, in_channels), is_hwc=False),
    ]


def create_batch_transforms(
    *,
    re_prob: float = legal.RE_PROB.default,
    re_scale: Sequence[float] = legal.RE_SCALE.default,
    re_ratio: Sequence[float] = legal.RE_RATIO.default,
    re_value: int | str = legal.RE_VALUE.default,
    re_count: Sequence[int] = legal.RE_COUNT.default,
    re_max_attempts: int = legal.RE_MAX_ATTEMPTS.default,
    mixup: float = legal.MIXUP.default,
    cutmix: float = legal.CUTMIX.default,
    cutmix_minmax: Sequence[float] | None = legal.CUTMIX_MINMAX.default,
    cutmix_prob: float = legal.CUTMIX_PROB.default,
    mixup_switch_prob: float = legal.MIXUP_SWITCH_PROB.default,
    mixup_mode: str = legal.MIXUP_MODE.default,
    mixup_off_epoch: int = legal.MIXUP_OFF_EPOCH.default,
    aug_splits: int = legal.AUG_SPLITS.default,
    num_classes: int | None = None,
) -> BatchTransforms:
    """Return the training operations on a finished batch, by epoch: random erasing, then mixing, as in MindCV.

    MindData has these in Python only, where its threads share one random state. Here the loader seeds them per batch,
    so that they give the same result for any number of workers.

    Args:
        re_prob, re_scale, re_ratio, re_value, re_count, re_max_attempts: see `RandomErasing`.
        mixup, cutmix, cutmix_minmax: see `Mixing`; with all three off, labels stay as they are.
        cutmix_prob: probability of mixing, by either (MindCV's name; timm's is mixup_prob).
        mixup_switch_prob, mixup_mode: see `Mixing`.
        mixup_off_epoch: the last epoch with mixing; 0: all. After it, labels are still (B, K) float32, so that a
            compiled training step stays usable.
        aug_splits: the `Loader`'s: views of an example are erased independently and mixed alike.
        num_classes: K, needed for mixing.

    Raises:
        ValueError: if an argument is out of range, or `num_classes` is missing.
    """
    legal.MIXUP_OFF_EPOCH.check(mixup_off_epoch)
    always: list[BatchTransform] = []
    if re_prob:
        always.append(RandomErasing(re_prob, re_scale, re_ratio, re_value, re_count, re_max_attempts))
    if not (mixup or cutmix or cutmix_minmax):
        return lambda epoch: always
    if num_classes is None:
        raise ValueError("mixing gives labels (B, K) and needs num_classes, the number of classes K.")
    always.append(SoftLabels(num_classes))
    mixing = Mixing(
        *(mixup, cutmix, cutmix_minmax),
        probability=cutmix_prob,
        switch_probability=mixup_switch_prob,
        mode=mixup_mode,
        splits=max(aug_splits, 1),
    )
    return lambda epoch: always if 0 < mixup_off_epoch < epoch else [*always, mixing]


def normalization(
    mean: Sequence[float], std: Sequence[float], in_channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std for pixels in 0..255, one value per channel; see `create_transforms` for the arguments.

    Raises:
        ValueError: if there is neither one value nor one per channel, or a std is not positive.
    """
    means = _per_channel("mean", mean, legal.MEAN.default, in_channels)
    stds = _per_channel("std", std, legal.STD.default, in_channels)
    legal.MEAN.check(means)
    legal.STD.check(stds)
    unit = 1.0 if max(*means, *stds) > 1 else 255.0
    return tuple(value * unit for value in means), tuple(value * unit for value in stds)


def _per_channel(name: str, values: Sequence[float], default: tuple[float, ...], in_channels: int) -> list[float]:
    values = [float(value) for value in values]
    if len(values) == 1:
        return values * in_channels
    if in_channels == 1 and values == list(default):
        return [sum(values) / len(values)]
    _check(len(values) == in_channels, name, f"one value or in_channels={in_channels} values", tuple(values))
    return values


def _resampling(interpolation: str, channels: int) -> Inter:
    if interpolation == "bicubic" and channels == 1:  # MindData has Pillow's for colour only
        return Inter.BICUBIC
    return _RESAMPLING[interpolation]


def _random_geometry(
    size: int,
    interpolation: str,
    scale: Sequence[float],
    ratio: Sequence[float],
    padding: int | None,
    encoded: bool,
    channels: int,
) -> list:
    decode = [vision.Decode()] * encoded
    whole = tuple(scale) == (1, 1) and tuple(ratio) == (1, 1)  # or the middle of an image that is not square
    if padding is not None or whole:
        cut = vision.CenterCrop(size) if padding is None else vision.RandomCrop(size, padding=padding)
        if interpolation == "random":
            return [*decode, RandomStage([RandomResize(size, RANDOM_FILTERS)], of_views=False), cut]
        return [*decode, vision.Resize(size, _resampling(interpolation, channels)), cut]
    if interpolation == "random":
        return [*decode, RandomStage([RandomResizedCrop(size, RANDOM_FILTERS, scale, ratio)], of_views=False)]
    # Decodes only the cropped part of a JPEG, 1.6 times as fast.
    crop = vision.RandomCropDecodeResize if encoded else vision.RandomResizedCrop
    return [crop(size, tuple(scale), tuple(ratio), _resampling(interpolation, channels))]


def _flips(hflip: float, vflip: float) -> list:
    """Return both flips as one operation that draws three random numbers per image.

    MindData's operations share one random sequence (MindSpore 2.10). RandomHorizontalFlip, RandomVerticalFlip and
    RandomCrop each draw two numbers per image, so that they are correlated: the same images would be flipped both ways,
    or flipped and shifted up. An operation that draws three is out of step with them.
    """
    flips = [(vision.HorizontalFlip(), float(hflip))] * (hflip > 0)
    flips += [(vision.VerticalFlip(), float(vflip))] * (vflip > 0)
    return [vision.RandomSelectSubpolicy([flips])] if flips else []


def _to_rgb(channels: int) -> list:
    """Return the step that makes a grey image RGB, which is all that the C++ colour operations take."""
    return [vision.ConvertColor(ConvertMode.COLOR_GRAY2RGB)] * (channels == 1)


def _jitter_strengths(strength: float | Sequence[float] | None, in_channels: int) -> tuple[float, float, float, float]:
    """Return the strengths of brightness, contrast, saturation and hue; 0: off."""
    if strength is None:
        return 0.0, 0.0, 0.0, 0.0
    strengths = [float(strength)] * 3 if isinstance(strength, int | float) else [float(part) for part in strength]
    holds = legal.COLOR_JITTER.in_range(strengths) and (len(strengths) == 3 or strengths[3] <= 0.5)
    _check(holds, "color_jitter", "one, three or four numbers of at least 0, the fourth (hue) at most 0.5", strength)
    brightness, contrast, saturation, hue = (*strengths, 0.0)[:4]
    if in_channels == 1:  # in grey, saturation and hue would only shift the luminance
        saturation = hue = 0.0
    return brightness, contrast, saturation, hue


def _color_adjustment(brightness: float, contrast: float, saturation: float, hue: float) -> ImageTransform:
    return vision.RandomColorAdjust(
        _factors(brightness), _factors(contrast), _factors(saturation), (-hue, hue) if hue else (0, 0)
    )


def _factors(strength: float) -> tuple[float, float]:
    return max(0.0, 1 - strength), 1 + strength


def _add_channel_axis(image: np.ndarray) -> np.ndarray:
    return image[..., np.newaxis]


def _check(holds: bool, name: str, legal: str, value: Any) -> None:
    if not holds:
        raise ValueError(f"{name} must be {legal}; got {value!r}.")
