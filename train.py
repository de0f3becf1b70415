"""Train a network: `python train.py --model=sknet50`, `python train.py -c configs/sknet/sknet29_cifar10.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)
from config import Config, load_config
from early import check_names_and_paths
from mindcv.console import say, speak_for
from mindcv.devices import check_device
from mindcv.distributed import ALONE
from mindcv.script import run_script

if TYPE_CHECKING:
    from mindcv.checkpoint import Checkpoint, CheckpointStore


def main(argv: Sequence[str] | None = None) -> int:
    config = load_config(argv, prog="train")
    if config.runtime.check_device:
        return check_device(vars(config.runtime), config.notices)
    check_names_and_paths(config)

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from assemble import build_store
    from assemble_weights import weights_to_start
    from draw import draw_augmentation, draw_schedule
    from resume import find_run, why_complete

    config, run = find_run(config)
    store = build_store(config)
    store.check_writable()
    if run and (reason := why_complete(config, run)):
        say(reason)
        return 0
    config, weights = (config, run) if run else weights_to_start(config)
    pictures = ((config.train.plot_schedule, draw_schedule), (config.train.show_augment, draw_augmentation))
    for draw in [draw for path, draw in pictures if path]:
        draw(config, weights, resumes=run is not None)
    if config.train.plot_schedule or config.train.show_augment:
        return 0
    with store.lock() as lock:
        if lock.took_over:
            say(lock.took_over)
        return _train(config, weights, run, store)


def _train(config: Config, weights: Checkpoint | None, run: Checkpoint | None, store: CheckpointStore) -> int:
    """Train from weights, or resume a run; returns the exit code."""
    from assemble import describe_graphs, graph_folder, start_runtime
    from assemble_data import build_training_loader, build_validation_loader, say_remarks
    from assemble_training import build_step, build_to_train, describe_run, fit_to_epoch, rate_callbacks, weigh_classes
    from mindcv.compile_cache import compiled_graphs_kept
    from mindcv.engine import (
        EarlyStop,
        EpochLog,
        Interruption,
        MetricsFile,
        RunLength,
        SaveCheckpoints,
        Trainer,
        TrainState,
        compiling_shown,
        evaluation_kind,
        memory_explained,
    )
    from mindcv.models import check_batch_norms, freeze
    from mindcv.report import BadImagesFile, finished, interrupted
    from resume import prepare_folder, say_if_rounding_changes

    # Check everything before writing anything.
    options, world = config.train, ALONE
    speak_for(world)
    early_stop = EarlyStop(options.early_stop_patience, options.early_stop_delta)
    arithmetic = start_runtime(config)
    say_if_rounding_changes(run, arithmetic)
    train_loader = build_training_loader(config, weights, resumes=run is not None)
    evaluate, kind = evaluation_kind(multi_label=train_loader.dataset.is_multi_label)
    eval_loader = build_validation_loader(config, train_loader.dataset) if options.val_while_train else None
    say_remarks(*(loader.dataset for loader in (train_loader, eval_loader) if loader))
    asked, config = config, fit_to_epoch(config, len(train_loader))
    length = RunLength(options.epoch_size, len(train_loader), config.step.gradient_accumulation_steps)
    network = build_to_train(config, train_loader.dataset.class_names, weights)
    frozen = freeze(network, config.model.freeze, config.model.freeze_bn)
    check_batch_norms(network, train_loader.smallest_batch, config.image.image_resize)
    step, learning_rates = build_step(weigh_classes(config, train_loader.dataset), network, length)
    state = TrainState(step)
    progress = prepare_folder(asked, run, state, store, train_loader, length)
    lowering = rate_callbacks(config, length, step, learning_rates, progress)
    metrics = MetricsFile(store.folder / "metrics.csv", progress.history, kind, on_error=options.on_save_error)
    bad_images = BadImagesFile(store.folder / "bad_images.csv", train_loader, eval_loader)
    say(
        f"{config.model.model}: {sum(parameter.size for parameter in network.trainable_params()):,} parameters, on "
        f"{arithmetic.in_words()}\n"
        f"{config.data.dataset}: {len(train_loader.dataset):,} images to train"
        + (f", {len(eval_loader.dataset):,} to validate" if eval_loader else "")
    )
    if frozen:
        say(frozen)
    description = describe_run(asked, network, train_loader, length, arithmetic)
    saver = SaveCheckpoints(store, state, *description, on_error=options.on_save_error, world=world)
    with Interruption(computes_here=config.runtime.mode == 1) as interruption:

        def stop() -> bool:
            return interruption.signum is not None

        trainer = Trainer(
            step,
            partial(evaluate, network, eval_loader, stop=stop, world=world) if eval_loader else None,
            [EpochLog(options.epoch_size), metrics, bad_images, *lowering],
            saver=saver,
            val_interval=options.val_interval,
            save_steps=options.ckpt_save_steps,
            on_nan=options.on_nan,
            nan_limit=options.nan_limit,
            stop=stop,
            early_stop=early_stop,
            log_interval=options.log_interval,
        )
        try:
            with (
                memory_explained(config.data.batch_size),
                compiled_graphs_kept(graph_folder(config), described_by=describe_graphs(config, network)) as kept,
                compiling_shown(kept=kept),
            ):
                trainer.fit(train_loader, epochs=options.epoch_size, learning_rates=learning_rates, progress=progress)
        finally:
            bad_images.update()

    ended_early = progress.epoch < options.epoch_size and early_stop.reached(progress.history)
    if interruption.signum is not None and progress.epoch < options.epoch_size and not ended_early:
        where, is_saved = progress.position(length), store.last.exists()
        model = config.model.model
        say(interrupted(model, store.folder, interruption.signum, where, is_saved=is_saved, problem=saver.problem))
        return 128 + interruption.signum
    if saver.problem:
        raise OSError(f"training is finished, but its last checkpoint is missing: {saver.problem}")
    if ended_early:
        say(early_stop.reason(progress.epoch, kind.metric()))
    checkpoint = store.best if progress.best else store.last
    counts = {"bad_steps": progress.bad_steps, "overflows": progress.overflows, "bad_images": len(bad_images)}
    say(finished(store.folder, checkpoint, best=progress.best, **counts))
    return 0


if __name__ == "__main__":
    run_script(main)
