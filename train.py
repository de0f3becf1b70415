"""Train a network: `python train.py --model=sknet50`, `python train.py -c configs/sknet/sknet29_cifar10.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)
from config import Config, load_config
from early import check_names_and_paths
from mindcv.console import say
from mindcv.devices import check_device
from mindcv.distributed import World, is_meeting_point, joined_size
from mindcv.launch import launch, prepare_process
from mindcv.script import run_script

if TYPE_CHECKING:
    from assemble import Arithmetic
    from mindcv.checkpoint import Checkpoint, CheckpointStore


def main(argv: Sequence[str] | None = None) -> int:
    prepare_process()
    config = load_config(argv, prog="train")
    if config.runtime.check_device:
        alone = config.runtime.processes == 1 or joined_size() is not None
        return check_device(vars(config.runtime), config.notices) if alone else launch(config.runtime.processes)
    check_names_and_paths(config)

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from assemble import build_store, leave, locked, start_runtime
    from assemble_weights import weights_to_start
    from draw import draws_instead
    from resume import find_run, why_complete

    if is_meeting_point():
        return leave(config)
    config, run = find_run(config)
    store = build_store(config)
    store.check_writable()
    if run and (reason := why_complete(config, run)):
        say(reason)
        return leave(config)
    config, weights = (config, run) if run else weights_to_start(config)
    if draws_instead(config, weights, resumes=run is not None):
        return leave(config)
    if config.runtime.processes > 1 and joined_size() is None:
        del run, weights  # the processes read them again
        with locked(store):
            return launch(config.runtime.processes)
    arithmetic, world = start_runtime(config)
    with locked(store, world):
        return _train(config, weights, run, store, arithmetic, world)


def _train(
    config: Config,
    weights: Checkpoint | None,
    run: Checkpoint | None,
    store: CheckpointStore,
    arithmetic: Arithmetic,
    world: World,
) -> int:
    """Train from weights, or resume a run; returns the exit code."""
    from assemble import describe_graphs, graph_folder
    from assemble_data import build_training_loader, build_validation_loader, say_remarks
    from assemble_run import check_agreement, conclude, describe_run, introduce
    from assemble_training import build_step, build_to_train, fit_to_epoch, rate_callbacks, weigh_classes
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
    from mindcv.report import BadImagesFile
    from resume import prepare_folder, say_if_rounding_changes

    # Check everything before writing anything.
    options = config.train
    early_stop = EarlyStop(options.early_stop_patience, options.early_stop_delta)
    say_if_rounding_changes(run, arithmetic)
    with world.main_first():
        train_loader = build_training_loader(config, weights, resumes=run is not None, world=world)
    evaluate, kind = evaluation_kind(multi_label=train_loader.dataset.is_multi_label)
    eval_loader = build_validation_loader(config, train_loader.dataset, world) if options.val_while_train else None
    say_remarks(*(loader.dataset for loader in (train_loader, eval_loader) if loader is not None))
    asked, config = config, fit_to_epoch(config, len(train_loader))
    length = RunLength(options.epoch_size, len(train_loader), config.step.gradient_accumulation_steps)
    network = build_to_train(config, train_loader.dataset.class_names, weights)
    frozen = freeze(network, config.model.freeze, config.model.freeze_bn)
    check_batch_norms(network, train_loader.smallest_batch, config.image.image_resize)
    step, learning_rates = build_step(weigh_classes(config, train_loader.dataset), network, length, world)
    state = TrainState(step)
    with world.main_first():  # the others find what it leaves
        progress = prepare_folder(asked, run, state, store, train_loader, length, world)
    check_agreement(world, state, progress, length, train_loader, learning_rates)
    lowering = rate_callbacks(config, length, step, learning_rates, progress)
    metrics = MetricsFile(
        store.folder / "metrics.csv", progress.history, kind, on_error=options.on_save_error, world=world
    )
    bad_images = BadImagesFile(store.folder, train_loader, eval_loader, world=world)
    introduce(config, network, arithmetic, train_loader, eval_loader, frozen)
    description = describe_run(asked, network, train_loader, length, arithmetic)
    saver = SaveCheckpoints(store, state, *description, on_error=options.on_save_error, world=world)
    with Interruption(computes_here=config.runtime.mode == 1) as interruption:

        def stop() -> bool:
            return interruption.signum is not None

        trainer = Trainer(
            step,
            partial(evaluate, network, eval_loader, stop=stop, world=world) if eval_loader is not None else None,
            [EpochLog(options.epoch_size), metrics, bad_images, *lowering],
            saver=saver,
            val_interval=options.val_interval,
            save_steps=options.ckpt_save_steps,
            on_nan=options.on_nan,
            nan_limit=options.nan_limit,
            stop=stop,
            early_stop=early_stop,
            log_interval=options.log_interval,
            world=world,
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

    world.any(False)  # all have written their lists of bad images
    with world.main_first():
        return conclude(config, store, progress, length, saver, early_stop, kind, bad_images, interruption.signum)


if __name__ == "__main__":
    run_script(main)
