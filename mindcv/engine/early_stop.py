"""Ending a run that no longer improves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mindcv.engine.state import EpochResult


@dataclass(frozen=True)
class EarlyStop:
    """Whether a run ends before its last epoch: a function of its results, so a resumed run ends where it would have.

    Args:
        patience: validations without an improvement after which the run ends; None: it does not.
        delta: an improvement is a score of more than this many percentage points above that of the last improvement.
    """

    patience: int | None = None
    delta: float = 0.0

    def reached(self, history: Sequence[EpochResult]) -> bool:
        """Whether a run with these results ends."""
        if self.patience is None:
            return False
        best, waited = -math.inf, 0
        for result in history:
            if result.evaluation:
                improved = result.evaluation.score > best + self.delta
                best, waited = (result.evaluation.score, 0) if improved else (best, waited + 1)
        return waited >= self.patience

    def reason(self, epoch: int, metric: str = "top-1") -> str:
        """Why a run ended after this epoch, in words; `metric` is what the scores are."""
        which = "the last validation" if self.patience == 1 else f"none of the last {self.patience} validations"
        raised = "did not raise" if self.patience == 1 else "raised"
        more = f" by more than {self.delta:g}" if self.delta else ""
        return f"ended after epoch {epoch}: {which} {raised} the best {metric}{more}"


NEVER = EarlyStop()
