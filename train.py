"""Train a network: `python train.py --model=sknet50`, `python train.py -c configs/sknet/sknet29_cifar10.yaml`."""

import platform
from collections.abc import Sequence
from functools import partial
from typing import Any

import mindcv
from config import Config, load_config, run_script


def main(argv: Sequence[str] | None = None) -> None:
    config = load_config(argv, prog="train")

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from build import build_loader, build_to_train, read_start
    from mindcv.checkpoint import CheckpointStore
    from mindcv.engine import EpochLog, MetricsFile, SaveCheckpoints, Trainer, TrainStep, evaluate
    from mindcv.loss import create_loss
    from mindcv.models import freeze
    from mindcv.optim import create_optimizer
    from mindcv.runtime import setup_runtime
    from mindcv.scheduler import create_scheduler

    # What can be wrong is found out before anything is downloaded, built or written.
    options, epochs = config.train, config.train.epoch_size
    store = CheckpointStore(
        options.ckpt_save_dir, config.model.model, keep=options.keep_checkpoint_max, interval=options.ckpt_save_interval
    )
    store.check_writable()
    config, weights = read_start(config, argv, "train")
    model = config.model
    device = setup_runtime(
        mode=config.runtime.mode, device_target=config.runtime.device_target, seed=config.runtime.seed
    )

    train_loader = build_loader(config, is_training=True)
    eval_loader = build_loader(config, is_training=False) if options.val_while_train else None
    network = build_to_train(config, train_loader.dataset.class_names, weights)
    size = sum(parameter.size for parameter in network.trainable_params())
    frozen = freeze(network, model.freeze, model.freeze_bn)

    accumulate = options.gradient_accumulation_steps
    learning_rates = create_scheduler(
        **vars(config.schedule), epochs=epochs, updates_per_epoch=_updates_per_epoch(len(train_loader), accumulate)
    )
    step = TrainStep(
        network,
        create_loss(**vars(config.loss)),
        create_optimizer(network, **vars(config.optim), lr=learning_rates),
        clip_norm=options.clip_value if options.clip_grad else None,
        accumulate_steps=accumulate,
    )

    earlier = store.open()
    if earlier:
        print(f"an earlier run's files were moved to {earlier}")
    config.save(store.folder / "config.yaml")
    print(
        f"{model.model}, {size:,} parameters, on {device}, {('Graph', 'Pynative')[config.runtime.mode]} mode; "
        f"{config.data.dataset}: {len(train_loader.dataset):,} images to train"
        + (f", {len(eval_loader.dataset):,} to validate" if eval_loader else "")
        + f". The first step of each kind {'compiles the network' if config.runtime.mode == 0 else 'takes longer'}."
    )
    if frozen:
        print(frozen)
    callbacks = [
        EpochLog(epochs),
        MetricsFile(store.folder / "metrics.csv"),
        SaveCheckpoints(store, network, _describe(config, network.description, train_loader.dataset.class_names)),
    ]
    validate = partial(evaluate, network, eval_loader) if eval_loader else None
    trainer = Trainer(step, validate, callbacks, val_interval=options.val_interval)
    results = trainer.fit(train_loader, epochs=epochs, learning_rates=learning_rates)

    best = max((r for r in results if r.is_best), key=lambda r: r.epoch, default=None)
    if best:
        evaluation = best.evaluation
        print(
            f"best: epoch {best.epoch}, top-1 {evaluation.top1:.2f} %, top-5 {evaluation.top5:.2f} % of "
            f"{evaluation.num_examples:,} images ({config.data.dataset}, split {eval_loader.dataset.split})"
        )
    print(f"written to {store.folder}: checkpoints, metrics.csv, config.yaml")
    print(f"validate with: python validate.py --ckpt_path={store.best if best else store.last}")


def _updates_per_epoch(batches: int, accumulate: int) -> int:
    if batches < accumulate:
        raise ValueError(
            f"gradient_accumulation_steps={accumulate} is more than the {batches} batches of an epoch: no update."
        )
    return batches // accumulate


def _describe(config: Config, model: dict[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
    """What every checkpoint of this run says about itself; `epoch` and `metrics` are added when it is saved."""
    import mindspore
    import numpy

    return {
        "model": model,
        "config": config.to_dict(),
        "class_names": list(class_names),
        "versions": {
            "mindcv": mindcv.__version__,
            "mindspore": mindspore.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
    }


if __name__ == "__main__":
    run_script(main)
