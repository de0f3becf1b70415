"""Images without labels: finding their files, and reading them without stopping at a broken one."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import mindspore.dataset.vision as vision
import numpy as np

from mindcv.arguments import BATCH_SIZE
from mindcv.data.image_file import BadImageError, read_image_file, reason_of, why_not_decoded
from mindcv.data.random_stage import RandomStage
from mindcv.data.threads import count_workers, map_in_order
from mindcv.data.transforms import ImageTransform
from mindcv.folders import IMAGE_SUFFIXES, describe_passed_over, images_below, is_of_user
from mindcv.paths import what_is_there


def find_images(
    patterns: str | os.PathLike | Sequence[str | os.PathLike], remarks: list[str] | None = None
) -> list[Path]:
    """Return the image files that `patterns` match, each once.

    Args:
        patterns: one or several of
            a file, whatever its name;
            a folder: the images in and below it by their suffix (`IMAGE_SUFFIXES`), sorted, except hidden files and
            those left by a system or a tool; symbolic links are followed;
            a wildcard such as `photos/**/*.png` (`**`: any folders): every matching file, sorted; hidden files and
            those left by a tool only if the pattern names them. An existing file of exactly that name comes first.
        remarks: receives a sentence for each folder in which files were passed over.
    Raises:
        ValueError: if one of them matches nothing; the message says what is there instead.
        OSError: if a folder may not be read.
    """
    patterns = [patterns] if isinstance(patterns, str | os.PathLike) else list(patterns)
    if not patterns or any(not os.fspath(pattern) for pattern in patterns):
        raise ValueError("no images are given: give a file, a folder or a quoted wildcard such as 'photos/**/*.png'.")
    remarks = [] if remarks is None else remarks
    found = [path for pattern in patterns for path in _find(os.path.expanduser(os.fspath(pattern)), remarks)]
    return list(dict.fromkeys(map(Path, found)))


class ImageFiles:
    """Batches of image files in the given order, prepared by threads; unreadable files are recorded and skipped.

    Images are bit-identical to those of `Loader` for the same file and transforms. For animations, transparency and
    orientation tags see `read_image_file`.

    Args:
        paths: the files.
        transforms: from `create_transforms(is_training=False)`: the first one decodes a file's bytes, the last one
            gives (C, H, W) float32.
        batch_size: images per batch, limited to the number of files.
        num_parallel_workers: threads; None means one per core, at most 8.

    Attributes:
        unreadable: position in `paths` -> reason why that file gave no image; complete after an iteration.

    Raises:
        ValueError: if a number is below 1 or `paths` is empty.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike],
        transforms: Sequence[ImageTransform | RandomStage],
        batch_size: int = BATCH_SIZE.default,
        num_parallel_workers: int | None = None,
    ) -> None:
        BATCH_SIZE.check(batch_size)
        if not paths:
            raise ValueError("there are no image files: paths is empty.")
        self.paths = [Path(path) for path in paths]
        self.batch_size = min(batch_size, len(self.paths))
        self.num_parallel_workers = count_workers(num_parallel_workers)
        self.unreadable: dict[int, str] = {}
        decode, *others = transforms
        assert isinstance(decode, vision.Decode), "transforms are for encoded images"
        self._decode = decode
        self._transforms = [transform for transform in others if not isinstance(transform, RandomStage)]
        assert len(self._transforms) == len(others), "transforms are for evaluation"

    def __len__(self) -> int:
        """Return the largest possible number of batches, reached if every file is readable."""
        return -(-len(self.paths) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (B,) int64 positions in `paths` and (B, C, H, W) float32 images; only the last batch may be short."""
        self.unreadable = {}
        positions: list[int] = []
        images: list[np.ndarray] = []
        ahead = 2 * self.batch_size + self.num_parallel_workers
        prepared = map_in_order(self._prepare, self.paths, self.num_parallel_workers, ahead)
        for position, image in enumerate(prepared):
            if isinstance(image, str):
                self.unreadable[position] = image
                continue
            positions.append(position)
            images.append(image)
            if len(images) == self.batch_size:
                yield np.array(positions), np.stack(images)
                positions, images = [], []
        if images:
            yield np.array(positions), np.stack(images)

    def _prepare(self, path: Path) -> np.ndarray | str:
        """Return the transformed image, or the reason why there is none."""
        try:
            image = self._decoded(read_image_file(path))
            for transform in self._transforms:
                image = transform(image)
        except BadImageError as error:
            return error.reason
        except Exception as error:  # an operation may raise anything for a broken file
            return reason_of(error)
        assert image.ndim == 3 and image.dtype == np.float32
        return image

    def _decoded(self, content: np.ndarray) -> np.ndarray:
        try:
            return self._decode(content)
        except RuntimeError as error:  # gives no reason
            raise ValueError(why_not_decoded(content, error)) from None


def _find(pattern: str, remarks: list[str]) -> list[str]:
    if os.path.isdir(pattern):
        passed_over: Counter[str] = Counter()
        found = images_below(pattern, passed_over)
        remarks += describe_passed_over(pattern, passed_over)
        problem = f"the folder {pattern} has no images ({', '.join(IMAGE_SUFFIXES)})."
    elif os.path.lexists(pattern):
        return [pattern]
    elif glob.has_magic(pattern):
        matching = (path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path))
        found = sorted(path for path in matching if _is_meant(path, pattern))
        problem = f"no file matches {pattern}."
    else:
        found, problem = [], f"there is no file or folder {pattern}."
    if not found:
        raise ValueError(problem + what_is_there(pattern))
    return found


def _is_meant(path: str, pattern: str) -> bool:
    """Return whether a file that matches a wildcard is the user's, or is named by the pattern itself."""
    return all(is_of_user(part) or part in Path(pattern).parts for part in Path(path).parts if part not in ("..", "."))
