"""What the policies of automatic augmentation draw: our distributions beside timm's.

    python benchmarks/augment_draws.py

For each operation of a policy: how often it is applied, how its argument (an angle, a threshold, a factor) is
distributed, and how far apart the two are: the difference of the frequencies in its standard errors, and the largest
difference of the distributions (Kolmogorov-Smirnov) as a part of the critical value at 0.1 %. Of a hundred figures some
are near 3 and near 0.8 by chance; one above 4 or above 1 is a difference. Nothing is timed. Takes two minutes.
"""

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from harness import ROOT, Table, Worker, parse_arguments, peer_python, serve

POLICIES = (
    "rand-m9-mstd0.5-inc1", "rand-m9-n3", "rand-m7-mstdinf", "rand-m6-n3-t3aw", "original-mstd0.5", "v0r", "3a",
    "augmix-m3-w3", "augmix-m5-w4-d2",
)  # fmt: skip
IMAGES = 20_000
CRITICAL = 1.95  # of the Kolmogorov-Smirnov statistic at 0.1 %


def ours(policy: str, count: int) -> dict[str, Any]:
    """name -> arguments of every application; "per image": applications."""
    sys.path.insert(0, str(ROOT))
    import numpy as np
    from PIL.Image import Resampling

    from mindcv.data.auto_augment import AugMix, create_auto_augment
    from mindcv.data.pillow_ops import Canvas

    drawn, applied = defaultdict(list), []
    augment = create_auto_augment(policy, Canvas((Resampling.BICUBIC,), (128, 128, 128)))
    for place in range(count):
        rng = np.random.Generator(np.random.Philox(key=7, counter=(0, place, 0, 1)))  # as mindcv/data/pipeline.py
        if isinstance(augment, AugMix):
            weights, chains, share = augment.draw(rng)
            drawn["(share of the mixture)"].append(share)
            drawn["(first chain's weight)"].append(float(weights[0]))
            steps = [step for chain in chains for step in chain]
        else:
            steps = augment.draw(rng)
        applied.append(len(steps))
        for step in steps:
            drawn[step.operation.name].append(float(step.argument))
    return {"drawn": drawn, "per image": applied}


def timm(policy: str, count: int) -> dict[str, Any]:
    import numpy as np
    from PIL import Image
    from timm.data import auto_augment as of

    drawn, applied, seen = defaultdict(list), [], 0
    random.seed(3)
    np.random.seed(4)

    class Blurred:  # shows the radius that GaussianBlurRand draws
        def filter(self, blur: Any) -> "Blurred":
            self.radius = blur.radius
            return self

    def recorder(name: str, operation: Callable) -> Callable:
        def record(image: Any, *arguments: float, **_: Any) -> Any:
            nonlocal seen
            seen += 1
            if name == "GaussianBlurRand":
                arguments = (operation(Blurred(), *arguments).radius,)
            drawn[name].append(float(arguments[0]) if arguments else 0.0)
            return image

        return record

    of.NAME_TO_OP = {name: recorder(name, operation) for name, operation in of.NAME_TO_OP.items()}
    # MindCV writes inf where timm takes any number above 100; timm ignores it.
    settings, text = {"img_mean": (128, 128, 128)}, policy.replace("mstdinf", "mstd101")
    dirichlet, beta = np.random.dirichlet, np.random.beta
    if text.startswith("augmix"):

        def first_weight(alpha: Sequence[float]) -> np.ndarray:
            weights = dirichlet(alpha)
            drawn["(first chain's weight)"].append(float(np.float32(weights[0])))
            return weights

        def share(a: float, b: float) -> float:
            drawn["(share of the mixture)"].append(float(np.float32(beta(a, b))))
            return drawn["(share of the mixture)"][-1]

        np.random.dirichlet, np.random.beta = first_weight, share
        settings["translate_pct"] = 0.3  # as timm's create_transform does
        augment = of.augment_and_mix_transform(text, settings)
    elif text.startswith("rand"):
        augment = of.rand_augment_transform(text, settings)
    else:
        augment = of.auto_augment_transform(text, settings)
    image = Image.new("RGB", (2, 2))
    for _ in range(count):
        seen = 0
        augment(image)
        applied.append(seen)
    return {"drawn": drawn, "per image": applied}


def largest_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """The Kolmogorov-Smirnov statistic of two samples, over its critical value."""
    import numpy as np

    values = np.unique(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(sample), values, "right") / len(sample) for sample in (one, other)]
    critical = CRITICAL * ((len(one) + len(other)) / (len(one) * len(other))) ** 0.5
    return float(np.abs(shares[0] - shares[1]).max()) / critical


def compare(table: Table, policy: str, count: int, answers: dict[str, dict]) -> None:
    import numpy as np

    mine, theirs = (answers[who]["drawn"] for who in ("ours", "timm"))
    for name in sorted(mine.keys() | theirs.keys()):
        one, other = mine.get(name, []), theirs.get(name, [])
        errors = (len(one) - len(other)) / max(1.0, (len(one) + len(other)) ** 0.5)
        apart = largest_difference(one, other) if one and other else float("inf")
        moments = [f"{np.mean(sample):.3f} ± {np.std(sample):.3f}" if sample else "-" for sample in (one, other)]
        table.add(
            policy, name, f"{100 * len(one) / count:.2f} / {100 * len(other) / count:.2f}", f"{errors:+.1f}",
            " / ".join(moments), f"{apart:.2f}", policy=policy, name=name, frequency=[len(one), len(other)],
            standard_errors=errors, largest_difference=apart,
        )  # fmt: skip
    numbers = [Counter(answers[who]["per image"]) for who in ("ours", "timm")]
    shown = [", ".join(f"{n}: {100 * many / count:.1f} %" for n, many in sorted(number.items())) for number in numbers]
    table.add(policy, "(operations per image)", "", "", " / ".join(shown), "", policy=policy, per_image=numbers)


def main() -> None:
    arguments = parse_arguments(__doc__)
    count = 200 if arguments.smoke else IMAGES
    if arguments.work:
        who, policy, count = arguments.work.split()
        return serve(lambda: lambda: globals()[who](policy, int(count)))
    table = Table(
        arguments.out, "augment_draws", f"Operations drawn for {count:,} images: ours / timm's.",
        ["policy", "operation", "per 100 images", "standard errors", "argument", "largest difference / critical"],
        smoke=arguments.smoke,
    )  # fmt: skip
    for policy in POLICIES[:1] if arguments.smoke else POLICIES:
        answers = {}
        for who, peer in (("ours", "ours"), ("timm", "ours" if arguments.smoke else "torch")):
            role = "ours" if peer == "ours" else who  # the smoke setting has no peers
            with Worker(peer_python(peer), __file__, f"{role} {policy} {count}") as worker:
                answers[who] = worker.ask()
        compare(table, policy, count, answers)
    return None


if __name__ == "__main__":
    main()
