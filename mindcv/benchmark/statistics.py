"""Medians and quartiles."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """The median of some measurements, and their lower and upper quartile."""

    median: float
    lower: float
    upper: float

    def shown(self, digits: int) -> str:
        """ "median (lower - upper)"."""
        return f"{self.median:,.{digits}f} ({self.lower:,.{digits}f} - {self.upper:,.{digits}f})"

    def scaled(self, factor: float) -> "Spread":
        return Spread(*(factor * value for value in self))


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of at least one measurement, with linear interpolation between neighbours."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, lower, upper)


def spread_of_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """`spread` of the ratios of neighbouring measurements, which a drift of the machine's speed affects alike."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])
