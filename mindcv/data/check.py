"""Finding the bad images of a data set before a long run does."""

import mindspore.dataset.vision as vision
import numpy as np

from mindcv import console
from mindcv.data.dataset import Dataset
from mindcv.data.image_file import BadImageError, reason_of, why_not_decoded
from mindcv.data.threads import count_workers, map_in_order


def check_dataset(
    dataset: Dataset, num_parallel_workers: int | None = None, progress: bool = True
) -> list[tuple[str, str]]:
    """Read and completely decode every image of a split, as a run would.

    Of a data set whose pixels are in memory it checks type and shape; its files were checked when it was opened.

    Args:
        dataset: the split.
        num_parallel_workers: threads; None means one per core, at most 8.
        progress: show a bar, or lines where no bar can be seen.
    Returns:
        (where it is, what is wrong with it) of every bad image, in the order of the data set.
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
    finally:  # also when the user interrupts it
        problems.close()
    return bad


def _problem(dataset: Dataset, index: int, decode: vision.Decode) -> str | None:
    """What is wrong with an image, None if nothing is."""
    try:
        image, _ = dataset[index]
    except BadImageError as error:
        return error.reason
    except Exception as error:  # unless the machine fails, it concerns this image alone
        return reason_of(error)
    if not dataset.encoded:
        fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == dataset.channels and image.size > 0
        expected = f"uint8 of the shape (height, width, {dataset.channels})"
        return None if fits else f"expected {expected}, got {image.dtype} of the shape {image.shape}"
    try:
        decode(image)
    except RuntimeError as error:  # its text does not say what is wrong
        return why_not_decoded(image, error)
    return None
