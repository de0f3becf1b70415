"""Check every image of a data set before a long run."""

import mindspore.dataset.vision as vision
import numpy as np

from mindcv import console
from mindcv.data.dataset import Dataset
from mindcv.data.image_file import BadImageError, reason_of, why_not_decoded
from mindcv.data.threads import count_workers, map_in_order


def check_dataset(
    dataset: Dataset, num_parallel_workers: int | None = None, progress: bool = True
) -> list[tuple[str, str]]:
    """Read and fully decode every image of a split, as a run would.

    If the pixels are in memory, only their dtype and shape are checked: the files were checked when opened.

    Args:
        dataset: the split.
        num_parallel_workers: threads; None means one per core, at most 8.
        progress: show a bar, or lines if there is no terminal.
    Returns:
        (location, reason) of every bad image, in the order of the data set.
    Raises:
        ValueError: if `num_parallel_workers` is below 1.
    """
    workers = count_workers(num_parallel_workers)
    decode = vision.Decode()
    problems = map_in_order(
        lambda index: _problem(dataset, index, decode), range(len(dataset)), workers, ahead=16 * workers
    )
    bad: list[tuple[str, str]] = []
    try:
        with console.Progress(f"check {dataset.split}", len(dataset), "image", shown=progress) as shown:
            for index, problem in enumerate(problems):
                if problem is not None:
                    bad.append((dataset.where(index), problem))
                shown.advance(f"{len(bad):,} bad" if bad else "")
    finally:  # also after an interrupt
        problems.close()
    return bad


def _problem(dataset: Dataset, index: int, decode: vision.Decode) -> str | None:
    """Return the reason why an image is bad, None if it is good."""
    try:
        image, _ = dataset[index]
    except BadImageError as error:
        return error.reason
    except Exception as error:  # `reason_of` raises machine errors again
        return reason_of(error)
    if not dataset.encoded:
        fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == dataset.channels and image.size > 0
        expected = f"uint8 of shape (height, width, {dataset.channels})"
        return None if fits else f"expected {expected}, got {image.dtype} of shape {image.shape}"
    try:
        decode(image)
    except RuntimeError as error:  # gives no reason
        return why_not_decoded(image, error)
    return None
