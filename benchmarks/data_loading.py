"""Images per second of the data pipelines: ours, torchvision's with PyTorch's DataLoader, and MindCV's own.

    python benchmarks/data_loading.py

Two workers each, the same operations: of JPEGs of 500x375 (about 100 KB) decode, random resized crop to 224, flip and
normalise, or for evaluation resize to 256, centre crop and normalise, in batches of 32; of 10,000 images of 32x32 in
memory padded crop, flip and normalise, in batches of 128. A step is one epoch, the start of its pipeline included. The
worker processes of PyTorch stay from epoch to epoch. Takes about two minutes.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from harness import ROOT, Table, Worker, interleave, parse_arguments, peer_python, ratio, serve, spread, spread_of_ratio

WORKERS = 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_RECORDS = 10_000  # MindSpore's own CIFAR-10 reader accepts no other number
CASES = {  # case: pipelines; the first one is compared with the others
    "train": ("ours", "torch", "mindcv", "ours randaug"),
    "eval": ("ours", "torch", "mindcv"),
    "cifar": ("ours", "torch", "mindcv", "ours randaug"),
}


def write_images(folder: Path, count: int) -> None:
    """Write JPEGs of 500x375 in ten classes: smooth noise, sharp edges and a little grain, about 100 KB each."""
    import numpy as np
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
        image = coarse.resize((500, 375), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
        for _ in range(12):
            (left, top), size = rng.integers(0, (450, 330)), rng.integers(10, 120, 2)
            draw.ellipse((left, top, left + size[0], top + size[1]), fill=tuple(map(int, rng.integers(0, 256, 3))))
        grain = np.asarray(image) + rng.normal(0, 13, (375, 500, 3))
        path = folder / "train" / f"class{number % 10}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(path, quality=92)


def write_cifar(folder: Path, count: int) -> None:
    import numpy as np

    records = np.random.default_rng(0).integers(0, 256, (count, 1 + 3 * 32 * 32), np.uint8)
    records[:, 0] %= 10
    folder.mkdir(parents=True)
    records.tofile(folder / "data_batch_1.bin")


def ours(case: str, folder: Path, policy: str | None) -> Callable[[], Iterable]:
    sys.path.insert(0, str(ROOT))
    from mindcv.data import Loader, create_dataset, create_transforms

    cifar, is_training = case == "cifar", case != "eval"
    dataset = create_dataset("cifar10" if cifar else "folder", folder, "train")
    transforms = create_transforms(
        is_training=is_training, image_resize=32 if cifar else 224, random_crop_padding=4 if cifar else None,
        color_jitter=None, auto_augment=policy, mean=MEAN, std=STD, encoded=dataset.encoded, channels=dataset.channels,
    )  # fmt: skip
    loader = Loader(
        dataset, transforms, is_training=is_training, batch_size=128 if cifar else 32, num_parallel_workers=WORKERS,
        drop_remainder=False,
    )  # fmt: skip
    return lambda: loader.epoch(0)


def torchvision(case: str, folder: Path) -> Callable[[], Iterable]:
    import numpy as np
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import datasets
    from torchvision import transforms as of

    class Memory(Dataset):  # like torchvision's CIFAR10, which reads pickles only
        def __init__(self, transform: Callable) -> None:
            records = np.fromfile(next(folder.glob("*.bin")), np.uint8).reshape(-1, 3073)
            self.images = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            self.labels, self.transform = records[:, 0].astype(int), transform

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, index: int) -> tuple:
            return self.transform(Image.fromarray(self.images[index])), self.labels[index]

    flip = of.RandomHorizontalFlip()
    geometry = {
        "train": [of.RandomResizedCrop(224), flip],
        "eval": [of.Resize(256), of.CenterCrop(224)],
        "cifar": [of.RandomCrop(32, padding=4), flip],
    }[case]
    transform = of.Compose([*geometry, of.ToTensor(), of.Normalize(MEAN, STD)])
    dataset = Memory(transform) if case == "cifar" else datasets.ImageFolder(str(folder / "train"), transform)
    batch = 128 if case == "cifar" else 32
    loader = DataLoader(dataset, batch, shuffle=case != "eval", num_workers=WORKERS, persistent_workers=True)
    return lambda: loader


def mindcv(case: str, folder: Path) -> Callable[[], Iterable]:
    from mindcv.data import create_dataset, create_loader, create_transforms

    training = case != "eval"
    if case == "cifar":
        dataset = create_dataset("cifar10", str(folder), "train", True, num_parallel_workers=WORKERS)
        transform = create_transforms("cifar10", 32, is_training=True)
    else:
        dataset = create_dataset(root=str(folder), split="train", shuffle=training, num_parallel_workers=WORKERS)
        transform = create_transforms("imagenet", 224, is_training=training)
    loader = create_loader(
        dataset, 128 if case == "cifar" else 32, is_training=training, transform=transform, num_parallel_workers=WORKERS
    )
    return lambda: loader.create_tuple_iterator(num_epochs=1, output_numpy=True)


def make_step(who: str, case: str, folder: Path) -> Callable[[], object]:
    peer, _, policy = who.partition(" ")
    epoch = ours(case, folder, policy or None) if peer == "ours" else globals()[PEER_STEPS[peer]](case, folder)

    def step() -> dict[str, int]:
        return {"images": sum(len(labels) for _, labels in epoch())}

    return step


PEER_STEPS = {"torch": "torchvision", "mindcv": "mindcv"}


def measure(table: Table, case: str, folder: Path, rounds: int, *, smoke: bool) -> None:
    names = [who for who in CASES[case] if not smoke or who.startswith("ours")]
    workers = {
        who: Worker(peer_python(who.split()[0]), __file__, who, "--case", case, "--data", str(folder)) for who in names
    }
    images = {who: worker.ask()["images"] for who, worker in workers.items()}
    assert len(set(images.values())) == 1, images
    seconds = interleave(workers, rounds)
    for worker in workers.values():
        worker.close()
    for who, times in seconds.items():
        rates = [images[who] / time for time in times]
        table.add(
            case, who, spread(rates, 0), spread_of_ratio(times, seconds["ours"]),
            case=case, who=who, seconds=times, images=images[who], median=statistics.median(rates),
            time_over_ours=ratio(times, seconds["ours"]),
        )  # fmt: skip


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--images", type=int, default=640, help="JPEGs")
        parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
        parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)

    arguments = parse_arguments(__doc__, add=add)
    if arguments.work:
        return serve(lambda: make_step(arguments.work, arguments.case, arguments.data))
    table = Table(
        arguments.out, "data_loading", "Images per second, median (lowest - highest), 2 workers each.",
        ["pipeline", "who", "images/s", "time / ours (spread)"], smoke=arguments.smoke,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        jpegs, cifar = Path(folder) / "jpegs", Path(folder) / "cifar"
        write_images(jpegs, 40 if arguments.smoke else arguments.images)
        write_cifar(cifar, 256 if arguments.smoke else CIFAR_RECORDS)
        for case in CASES:
            place = cifar if case == "cifar" else jpegs
            measure(table, case, place, 2 if arguments.smoke else arguments.rounds, smoke=arguments.smoke)
    return None


if __name__ == "__main__":
    main()
