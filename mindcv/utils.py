"""Names that MindCV has in `mindcv.utils`; nothing of this package is kept here."""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from mindspore import nn
from mindspore.train import Callback, Model, RunContext

from mindcv.console import say
from mindcv.keywords import refuse_unless

_OWN_STEP = "train.py has it; mindspore.Model has a training step of its own"


def create_trainer(
    network: nn.Cell,
    loss: nn.Cell,
    optimizer: nn.Cell,
    metrics: Mapping[str, Any] | Iterable[str],
    amp_level: str = "O0",
    amp_cast_list: str | None = None,
    loss_scale_type: str = "fixed",
    loss_scale: float = 1.0,
    drop_overflow_update: bool = False,
    ema: bool = False,
    ema_decay: float = 0.9999,
    clip_grad: bool = False,
    clip_value: float = 15.0,
    gradient_accumulation_steps: int = 1,
) -> Model:
    """A `mindspore.Model` that trains in float32, one update per batch.

    Args:
        network, loss, optimizer, metrics: of the Model.
        ema_decay, clip_value: without effect while ema and clip_grad are off.
        amp_level and the others: only as they are by default.

    Raises:
        ValueError: for mixed precision, averaged weights, clipping or accumulation.
    """
    for name, value, accepted in (
        ("amp_level", amp_level, "O0"),
        ("amp_cast_list", amp_cast_list or None, None),
        ("loss_scale_type", loss_scale_type, "fixed"),
        ("loss_scale", loss_scale, 1.0),
        ("drop_overflow_update", drop_overflow_update, False),
        ("ema", ema, False),
        ("clip_grad", clip_grad, False),
        ("gradient_accumulation_steps", gradient_accumulation_steps, 1),
    ):
        refuse_unless(accepted, value, f"create_trainer: {name}", _OWN_STEP)
    return Model(network, loss_fn=loss, optimizer=optimizer, metrics=metrics)


def get_metrics(num_classes: int) -> dict[str, nn.Metric]:
    """Metrics of a `mindspore.Model`: top-1 accuracy, and from 5 classes on top-5 accuracy."""
    metrics: dict[str, nn.Metric] = {"Top_1_Accuracy": nn.Top1CategoricalAccuracy()}
    if num_classes >= 5:
        metrics["Top_5_Accuracy"] = nn.Top5CategoricalAccuracy()
    return metrics


class ValCallback(Callback):
    """Prints the progress of `Model.eval`.

    Args:
        log_interval: batches between lines.
    """

    def __init__(self, log_interval: int = 100) -> None:
        super().__init__()
        self._log_interval = log_interval

    def on_eval_step_end(self, run_context: RunContext) -> None:
        run = run_context.original_args()
        if run.cur_step_num % self._log_interval == 0 or run.cur_step_num == run.batch_num:
            say(f"batch {run.cur_step_num}/{run.batch_num}")


class StateMonitor:
    """MindCV's callback that validates, logs and saves checkpoints; here train.py does that.

    Raises:
        ValueError: always.
    """

    def __init__(self, *args: Any, **keywords: Any) -> NoReturn:
        raise ValueError(
            "mindcv.utils.StateMonitor is not available here: train.py validates, logs and saves the best checkpoint. "
            "With mindspore.Model use mindspore.LossMonitor and mindspore.ModelCheckpoint, and Model.fit to validate."
        )
