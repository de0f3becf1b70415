"""The length of a run in epochs, steps and updates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunLength:
    """The length of a run. A step trains on one batch; an update of the weights takes `accumulate_steps` of them.

    Args:
        epochs: of the whole run.
        batches: of the loader per epoch, at least `accumulate_steps`.
        accumulate_steps: batches per update.

    Raises:
        ValueError: if an epoch has no update.
    """

    epochs: int
    batches: int
    accumulate_steps: int = 1

    def __post_init__(self) -> None:
        if self.batches < self.accumulate_steps:
            raise ValueError(
                f"gradient_accumulation_steps={self.accumulate_steps} is more than the {self.batches} batches of an "
                "epoch: no update."
            )

    @property
    def updates_per_epoch(self) -> int:
        return self.batches // self.accumulate_steps

    @property
    def steps_per_epoch(self) -> int:
        """Batches that are trained on: an incomplete update at the end of an epoch is left out."""
        return self.updates_per_epoch * self.accumulate_steps
