"""The learning rates of a run that follow its validation."""

from collections.abc import Callable, Sequence

from mindspore import Tensor, nn, ops

from mindcv import console
from mindcv.engine.callbacks import Callback
from mindcv.engine.state import EpochResult


class PlateauRates(Callback):
    """Lowers the learning rates of the rest of a run by what the scores of its epochs so far demands.

    The rates follow from these results alone. So a resumed run, whose progress has them, goes on with the same rates to
    the last bit, and needs no further state.

    Args:
        optimizer: has a learning rate for each update, on which it has not run yet.
        learning_rates: the same rates for display, changed in place.
        factor: epoch, counted from 1, and score, per cent, of each validated epoch -> the factor of all rates.
        history: the complete epochs of a resumed run.
    """

    def __init__(
        self,
        optimizer: nn.Optimizer,
        learning_rates: list[float],
        factor: Callable[[Sequence[tuple[int, float]]], float],
        history: Sequence[EpochResult] = (),
    ) -> None:
        rates = [p for p in optimizer.get_parameters() if p.name.startswith("learning_rate")]  # one for each group
        self._given = [(parameter, parameter.asnumpy().copy()) for parameter in rates]
        self._shown, self._shown_given = learning_rates, list(learning_rates)
        self._factor_of, self._factor = factor, 1.0
        self._scores = [(result.epoch, result.evaluation.score) for result in history if result.evaluation]
        self._follow()

    def on_epoch_end(self, result: EpochResult) -> None:
        if result.evaluation is None:
            return
        self._scores.append((result.epoch, result.evaluation.score))
        before = self._factor
        self._follow()
        if self._factor != before and not result.is_final:
            metric, by = result.evaluation.metric(), self._factor / before
            console.say(f"no better {metric} for too long: the learning rate is multiplied by {by:.2g}")

    def _follow(self) -> None:
        """Set all rates, those of past updates too, which are not used again."""
        factor = self._factor_of(self._scores)
        if factor == self._factor:
            return
        self._factor = factor
        for parameter, given in self._given:
            ops.assign(parameter, Tensor(given * given.dtype.type(factor)))
        self._shown[:] = [rate * factor for rate in self._shown_given]
