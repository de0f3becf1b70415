"""Training steps that are sent to the device before the results of earlier ones are read."""

from collections import deque
from collections.abc import Iterator

import numpy as np
from mindspore import Tensor

from mindcv.engine.compiling import clock
from mindcv.engine.train_step import SharedResult, StepResult, TrainStep


class SentSteps:
    """The calls of a training step whose results are not read yet; its length is their number.

    Those sent after a call that was not finite have changed nothing (see `DeviceStep`); their batches are sent again.

    Args:
        step: called for each batch.
        batches: images and labels.
    """

    def __init__(self, step: TrainStep, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        self.step, self._batches = step, batches
        self._sent: deque[tuple[Tensor, Tensor, StepResult | SharedResult]] = deque()
        self._again: deque[tuple[Tensor, Tensor]] = deque()

    def __len__(self) -> int:
        return len(self._sent)

    def send(self) -> float:
        """Train on the next batch; return the seconds spent waiting for it."""
        asked = clock()
        arrays = None if self._again else next(self._batches)
        waited = clock() - asked
        images, labels = self._again.popleft() if arrays is None else map(Tensor, arrays)
        self._sent.append((images, labels, self.step(images, labels)))
        return waited

    def read(self) -> tuple[float, bool, bool, bool, bool | None]:
        """Wait for the oldest call; return what `SharedResult` holds, None for `stops` if this process is alone."""
        _, _, result = self._sent.popleft()
        loss, finite, updated, overflow, *stops = (output.asnumpy().item() for output in result)
        if not finite:
            self.step.reopen(void=len(self._sent))
            self._again.extendleft((images, labels) for images, labels, _ in reversed(self._sent))
            self._sent.clear()
        return loss, finite, updated, overflow, stops[0] if stops else None
