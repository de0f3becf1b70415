"""What Mixup, CutMix and random erasing draw: our distributions beside timm's.

    python benchmarks/mixing_draws.py

Both are given the same plain images, and what they drew is read from the pixels and labels that they return. For each
quantity: its mean and deviation, and the largest difference of the two distributions (Kolmogorov-Smirnov) as a part of
the critical value at 0.1 %; one above 1 is a difference. timm leaves out the largest side and the last position of a
cutmix_minmax box, and never erases a whole side; ours include them, which is too little to show here. Nothing
is timed. Takes a minute.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from augment_draws import largest_difference
from harness import ROOT, Table, Worker, parse_arguments, peer_python, serve

SIZE = 96
DRAWS = 5_000
PAIRS = 50  # images of a batch with draws of their own, each with a partner
BOTH = {"mixup": 0.8, "cutmix": 1.0, "probability": 0.7, "switch_probability": 0.4}
MIXING = {
    "mixup 0.2": {"mixup": 0.2},
    "mixup and cutmix, batch": {**BOTH, "mode": "batch"},
    "mixup and cutmix, pair": {**BOTH, "mode": "pair"},
    "mixup and cutmix, elem": {**BOTH, "mode": "elem"},
    "cutmix_minmax 0.2 0.8": {"cutmix_minmax": (0.2, 0.8)},
}
ERASING = {
    "erasing 0 (const)": {"probability": 0.6, "value": 0, "count": (1,)},
    "erasing rand": {"probability": 0.6, "value": "rand", "count": (1,)},
    "erasing random (pixel)": {"probability": 0.6, "value": "random", "count": (1,)},
    "erasing rand, 1 to 3": {"probability": 1.0, "value": "rand", "count": (3,)},
    "erasing rand, 2 to 4": {"probability": 1.0, "value": "rand", "count": (2, 4)},
}
PLAIN = 9.0  # pixels before erasing


def boxes(marked: np.ndarray) -> dict[str, float]:
    """Position and size of the marked rectangle of an image (H, W)."""
    rows, columns = (np.flatnonzero(marked.any(axis)) for axis in (1, 0))
    return {"top": rows[0], "left": columns[0], "height": len(rows), "width": len(columns)}


def describe_mixed(images: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, float]]:
    """What was drawn for each image: (N, H, W), 0 where it is its own, 1 where it is its partner's; labels (N, 2)."""
    for image, (share, _) in zip(images, labels, strict=True):
        is_box = ((image == 0) | (image == 1)).all() and 0 < image.mean() < 1  # all 1: a share of nearly 0
        drawn = {"is CutMix": float(is_box), "is mixup": float(not is_box and image.any())}
        if is_box:
            drawn |= {**boxes(image == 1), "share in CutMix": share}
        elif image.any():
            drawn["share in mixup"] = share
        yield drawn


def describe_erased(images: np.ndarray) -> Iterator[dict[str, float]]:
    """What was drawn for each image: (N, H, W)."""
    for image in images:
        erased = image != PLAIN
        drawn = {"is erased": float(erased.any())}
        if erased.any():
            values = np.unique(image[erased])
            drawn |= {"area": erased.mean(), "value": image[erased][0], "rectangles": min(len(values), 5)}
            drawn |= boxes(erased) if len(values) == 1 else {}
        yield drawn


def ours(setting: str) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    sys.path.insert(0, str(ROOT))
    from mindcv.data.erasing import RandomErasing
    from mindcv.data.mixup import Mixing

    rng = np.random.default_rng(3)
    transform = Mixing(**MIXING[setting]) if setting in MIXING else RandomErasing(**ERASING[setting])
    return lambda images, labels: transform(images, labels, rng)


def timm(setting: str) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    import random

    import torch
    from timm.data import Mixup
    from timm.data.random_erasing import RandomErasing

    torch.set_num_threads(1)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(4)
    if setting in MIXING:
        names = {"mixup": "mixup_alpha", "cutmix": "cutmix_alpha", "probability": "prob"}
        names |= {"switch_probability": "switch_prob"}
        options = {names.get(name, name): value for name, value in MIXING[setting].items()}
        mix = Mixup(**{"mixup_alpha": 0.0, **options, "label_smoothing": 0.0, "num_classes": 2})

        def mixed(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            result = mix(torch.tensor(images), torch.tensor(labels.argmax(1)))
            return tuple(tensor.numpy() for tensor in result)

        return mixed
    options = ERASING[setting]
    *fewest, most = options["count"]
    mode = {0: "const", "random": "pixel", "rand": "rand"}[options["value"]]
    counts = {"min_count": (fewest or [1])[0], "max_count": most}
    erase = RandomErasing(options["probability"], 0.02, 0.33, 0.3, 3.3, mode=mode, **counts, device="cpu")
    return lambda images, labels: (erase(torch.tensor(images)).numpy(), labels)


def draw(who: str, setting: str, count: int) -> dict[str, Any]:
    """quantity -> what was drawn for `count` images."""
    transform, drawn = globals()[who](setting), defaultdict(list)
    mode = MIXING.get(setting, {}).get("mode", "batch")
    own = 1 if setting in MIXING and mode == "batch" else PAIRS
    images = np.zeros((2 * own, 1, SIZE, SIZE), np.float32)
    images[own:] = 1
    labels = np.eye(2, dtype=np.float32)[[0, 1]].repeat(own, 0)
    for _ in range(0, count, own):
        if setting in MIXING:
            mixed, soft = transform(images.copy(), labels)
            found = describe_mixed(mixed[:own, 0], soft[:own])
        else:
            found = describe_erased(transform(np.full_like(images[:own], PLAIN), labels)[0][:, 0])
        for each in found:
            for name, value in each.items():
                drawn[name].append(float(value))
    return {"drawn": drawn}


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.work:
        work = json.loads(arguments.work)
        return serve(lambda: lambda: draw(*work))
    count = 100 if arguments.smoke else DRAWS
    table = Table(
        arguments.out, "mixing_draws", f"What is drawn for {count:,} images: ours / timm's.",
        ["setting", "quantity", "number", "mean ± deviation", "largest difference / critical"], smoke=arguments.smoke,
    )  # fmt: skip
    settings = [*MIXING, *ERASING]
    for setting in settings[:1] if arguments.smoke else settings:
        answers = []
        for who, peer in (("ours", "ours"), ("timm", "torch")):
            who, peer = ("ours", "ours") if arguments.smoke else (who, peer)  # the smoke setting has no peers
            with Worker(peer_python(peer), __file__, json.dumps([who, setting, count])) as worker:
                answers.append(worker.ask()["drawn"])
        for name in dict.fromkeys([*answers[0], *answers[1]]):
            one, other = (answer.get(name, []) for answer in answers)
            apart = largest_difference(one, other) if one and other else float("inf")
            moments = [f"{np.mean(drawn):.4g} ± {np.std(drawn):.4g}" if drawn else "-" for drawn in (one, other)]
            table.add(
                setting, name, f"{len(one)} / {len(other)}", " / ".join(moments), f"{apart:.2f}", setting=setting,
                name=name, number=[len(one), len(other)], largest_difference=apart,
            )  # fmt: skip
    return None


if __name__ == "__main__":
    main()
