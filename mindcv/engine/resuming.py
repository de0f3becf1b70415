"""Taking up a run where it was left."""

from mindcv.checkpoint import Checkpoint, CheckpointStore, read_checkpoint, save_checkpoint
from mindcv.engine.state import Progress, TrainState


def take_up(
    run: Checkpoint, state: TrainState, store: CheckpointStore, *, updates_per_epoch: int, num_examples: int
) -> tuple[Progress, list[str]]:
    """Restore the state of a run and make its folder ready.

    Args:
        run: the checkpoint to go on from.
        state: of this run; receives what the checkpoint holds.
        store: of this run.
        updates_per_epoch: of this run; between epochs it may be another one than that of the checkpoint's.
        num_examples: of the training split.
    Returns:
        The position, and what the user should know.
    Raises:
        ValueError: if the state does not fit this run; nothing is then changed.
    """
    before = run.info["training"]["num_examples"]
    inside_epoch = run.info["training"]["progress"]["batch"] > 0
    remarks = []
    if before != num_examples:
        remarks.append(f"the training split had {before:,} images and now has {num_examples:,}")
        if inside_epoch:
            raise ValueError(
                f"{remarks[0]}, and {run.path} was saved in the middle of an epoch, whose order is that of the old "
                "images. Restore them, or resume from a checkpoint of an epoch's end."
            )
    progress = state.restore(run)
    if updates_per_epoch != run.info["training"]["updates_per_epoch"]:  # only between epochs
        state.set_updates(progress.epoch * updates_per_epoch)
    remarks += store.prepare_to_resume(run)
    remarks += _find_best(run, store, progress)
    return progress, remarks


def describe_position(progress: Progress, batches: int) -> str:
    """Words for where a run stands, for example "epoch 3, step 17 of 44"."""
    if progress.batch == progress.epoch == 0:
        return "its beginning"
    if progress.batch == 0:
        return f"the end of epoch {progress.epoch}"
    if progress.batch == batches:
        return f"epoch {progress.epoch + 1}, before its validation"
    return f"epoch {progress.epoch + 1}, step {progress.batch} of {batches}"


def _find_best(run: Checkpoint, store: CheckpointStore, progress: Progress) -> list[str]:
    """See to it that the best checkpoint on disk and what the run believes of it agree."""
    if store.best.exists():
        info = read_checkpoint(store.best).info
        metrics = info["metrics"]
        if progress.best_top1 is None or metrics["top1"] > progress.best_top1:  # its epoch is not in this state
            progress.set_best(info["epoch"], metrics["top1"], metrics["top5"])
        return []
    if progress.best_top1 is None:
        return []
    if progress.best_epoch == progress.epoch and progress.batch == 0:
        info = {key: value for key, value in run.info.items() if key != "training"}
        save_checkpoint(store.best, run.weights, info)
        return [f"{store.best} was missing; its weights were in {run.path}, and it is there again"]
    remark = (
        f"{store.best} is missing: that of epoch {progress.best_epoch} ({progress.best_top1:.2f} %) is lost, and the "
        "best of the remaining epochs will take its place"
    )
    progress.set_best(None, None, None)
    return [remark]
