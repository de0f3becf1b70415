"""What an evaluation measures: the names, and how they are shown."""

from collections.abc import Mapping
from typing import ClassVar

# The shares, in per cent. The first one that an evaluation has decides which epoch is best.
TITLES = {"top1": "top-1", "top5": "top-5", "mAP": "mAP"}


class Measured:
    """Base of the results of an evaluation.

    Attributes:
        MEASURES: the measures by their names in checkpoints and metrics.csv; the first one, in per cent, is the score.
        loss: in nats per example.
        num_examples: number of examples counted.
        seconds: time taken, without compiling.
        num_bad: number of examples left out because their image could not be read.
        num_not_finite: number of examples counted with NaN or infinite logits; they are wrong.
    """

    MEASURES: ClassVar[tuple[str, ...]]
    loss: float
    num_examples: int
    seconds: float
    num_bad: int
    num_not_finite: int

    @property
    def measures(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in self.MEASURES}

    @property
    def score(self) -> float:
        """Per cent; the epoch with the highest one is the best."""
        return deciding(self.measures)[1]

    @classmethod
    def metric(cls) -> str:
        """What the score is, for example "top-1"."""
        return TITLES[cls.MEASURES[0]]


def deciding(measures: Mapping[str, float]) -> tuple[str, float]:
    """Title and value, in per cent, of the measure that decides which epoch is best."""
    return next((title, measures[name]) for name, title in TITLES.items() if name in measures)


def in_words(measures: Mapping[str, float]) -> list[str]:
    """The shares, for example ["top-1 98.61 %", "top-5 100.00 %"]; other measures, such as the loss, are left out."""
    return [f"{title} {measures[name]:.2f} %" for name, title in TITLES.items() if name in measures]
