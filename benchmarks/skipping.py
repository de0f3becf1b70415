"""The cost of starting in the middle of an epoch: seconds until batch k of 600 is ready.

python benchmarks/skipping.py

A folder of small generated JPEGs, 96x128, in batches of 16 with the training augmentation at 64x64. Whole segments of
`SEGMENT` batches are skipped; inside one, the batches before k are prepared and discarded.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
import mindcv  # noqa: F401  (first: it sets what MindSpore reads)
from mindcv.data import Loader, create_dataset, create_transforms
from mindcv.data.loader import SEGMENT

BATCHES, BATCH_SIZE, FILES = 600, 16, 1200
STARTS = (0, 100, 255, 256, 300)
REPEATS = 3


def write_images(root: Path) -> None:
    """Write noise in blocks, which compresses like a photo; links make several examples of each file."""
    rng = np.random.default_rng(0)
    folder = root / "train" / "noise"
    folder.mkdir(parents=True)
    for number in range(FILES):
        blocks = rng.integers(0, 236, (12, 16, 3)).repeat(8, axis=0).repeat(8, axis=1)
        pixels = blocks + rng.integers(0, 20, blocks.shape)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:04d}.jpg")
        for link in range(1, BATCHES * BATCH_SIZE // FILES):
            (folder / f"{number:04d}_{link}.jpg").symlink_to(f"{number:04d}.jpg")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        transforms = create_transforms(is_training=True, image_resize=64)
        loader = Loader(create_dataset("noise", folder), transforms, is_training=True, batch_size=BATCH_SIZE)
        assert len(loader) == BATCHES
        seconds: dict[int, list[float]] = {start: [] for start in STARTS}
        for epoch in range(REPEATS):
            for start in STARTS:
                began = time.perf_counter()
                batches = loader.epoch(epoch, start)
                next(batches)
                seconds[start].append(time.perf_counter() - began)
                batches.close()
        began = time.perf_counter()
        for _ in loader.epoch(0):
            pass
        whole = time.perf_counter() - began
    print("| first batch | batches prepared and discarded | seconds until it is ready |")
    print("|---|---|---|")
    for start, times in seconds.items():
        middle = statistics.median(times)
        print(f"| {start} | {start % SEGMENT} | {middle:.2f} ({min(times):.2f} - {max(times):.2f}) |")
    print(f"\nthe whole epoch of {BATCHES} batches: {whole:.1f} s, {BATCHES * BATCH_SIZE / whole:,.0f} images/s")


if __name__ == "__main__":
    main()
