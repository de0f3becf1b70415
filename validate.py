"""Evaluate a checkpoint: `python validate.py --ckpt_path=./ckpt/sknet50-best.ckpt`.

`python validate.py --check_data --dataset=flowers --data_dir=./flowers` reads every image of a data set instead.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)
from config import load_config
from early import check_names_and_paths
from mindcv.console import say, warn
from mindcv.script import run_script

if TYPE_CHECKING:
    from config import Config
    from mindcv.checkpoint import Checkpoint
    from mindcv.data import Dataset
    from mindcv.engine import Evaluation, Outcomes

BAD_IMAGES = "bad_images.csv"  # in the current folder; written only if there are any


def main(argv: Sequence[str] | None = None) -> Evaluation | int:
    """Returns the result, or with --check_data the exit code: 1 if an image is bad or a class unknown."""
    config = load_config(argv, prog="validate")
    if not config.data.check_data and not config.model.ckpt_path and not config.model.pretrained:
        raise ValueError("nothing to validate: name a checkpoint with --ckpt_path, or use --pretrained.")
    check_names_and_paths(config)

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from assemble import build_to_infer, describe_graphs, graph_folder
    from assemble_data import build_measuring_loader, say_remarks
    from assemble_weights import weights_to_start, weights_to_use
    from mindcv.compile_cache import compiled_graphs_kept
    from mindcv.engine import Outcomes, compiling_shown, evaluate, memory_explained, with_views
    from mindcv.report import format_bad_images
    from mindcv.runtime import setup_runtime

    if config.data.check_data:
        return check_data(*weights_to_start(config))
    config, weights = weights_to_use(config)
    setup_runtime(mode=config.runtime.mode, device_target=config.runtime.device_target, seed=config.runtime.seed)

    loader = build_measuring_loader(config, weights)
    say_remarks(loader.dataset)
    network = build_to_infer(config, weights, loader.dataset.class_names)
    outcomes, reports = Outcomes(), bool(config.files.report or config.files.confusion_matrix)
    with (
        memory_explained(loader.batch_size),
        compiled_graphs_kept(graph_folder(config), described_by=describe_graphs(config, network)) as kept,
        compiling_shown(kept=kept),
    ):
        views = with_views(network, config.model.tta, config.eval_image.image_resize)
        result = evaluate(views, loader, observe=outcomes.add if reports else None)
    assert result is not None, "evaluate was given no stop"

    views = "" if config.model.tta == "none" else f" (tta={config.model.tta})"
    left_out = ""
    if result.num_bad:
        listed = format_bad_images([*loader.bad_images.items()], shown=5)
        left_out = f"; {result.num_bad:,} unreadable left out:\n{listed}"
    say(
        f"{config.model.model} on {config.data.dataset}, split {loader.dataset.split}{views}: "
        f"{result.num_examples:,} images in {result.seconds:.1f} s{left_out}\n"
        f"top-1 {result.top1:.2f} %  top-5 {result.top5:.2f} %  loss {result.loss:.4f}"
    )
    if result.num_not_finite:
        warn(
            f"the network's output is NaN or infinite for {result.num_not_finite:,} of "
            f"{result.num_examples:,} images: they count as wrong, and the loss is meaningless"
        )
    if reports:
        report(config, result, outcomes, loader.dataset)
    if "top1" in weights.info.get("metrics", {}):
        saved = weights.info["metrics"]
        say(
            f"while training (epoch {weights.info['epoch']}): top-1 {saved['top1']:.2f} %  "
            f"top-5 {saved['top5']:.2f} %  loss {saved['loss']:.4f}"
        )
    return result


def report(config: Config, result: Evaluation, outcomes: Outcomes, dataset: Dataset) -> None:
    """Print the metrics beyond top-1, and write those and the figure that were asked for."""
    from mindcv.engine import confusion_matrix, measure
    from mindcv.report import draw_confusion_matrix, format_metrics, write_report

    names, files = dataset.class_names, config.files
    metrics = measure(outcomes, len(names))
    say(format_metrics(metrics, outcomes, names))
    about = {"model": config.model.model, "dataset": config.data.dataset, "split": dataset.split}
    if files.report:
        write_report(files.report, result, metrics, outcomes, names, about)
        say(f"written to {files.report}")
    if files.confusion_matrix:
        title = f"{about['model']} on {about['dataset']}, {about['split']}: top-1 {result.top1:.2f} %"
        draw_confusion_matrix(files.confusion_matrix, confusion_matrix(outcomes, len(names)), names, title)
        say(f"written to {files.confusion_matrix}")


def check_data(config: Config, weights: Checkpoint | None) -> int:
    """Compare the classes of both splits and read every image; print the bad ones and write them to a file."""
    from assemble_data import open_to_check, say_remarks
    from mindcv.data import check_dataset
    from mindcv.report import format_bad_images, write_bad_images

    datasets, problems = open_to_check(config, weights)
    say_remarks(*datasets)
    for problem in problems:
        say(problem)
    splits = {dataset.split: dataset for dataset in datasets}
    bad: list[tuple[str, str]] = []
    for split, dataset in splits.items():
        start = time.perf_counter()
        found = check_dataset(dataset, config.data.num_parallel_workers)
        seconds = time.perf_counter() - start
        say(
            f"{split}: {len(dataset):,} images, {len(found):,} bad, {seconds:.1f} s, "
            f"{len(dataset) / seconds:,.0f} images/s"
        )
        bad += found
    if bad:
        say(format_bad_images(bad))
        write_bad_images(BAD_IMAGES, bad)
        say(f"full list with reasons: {os.path.abspath(BAD_IMAGES)}")
    return 1 if bad or problems else 0


if __name__ == "__main__":
    run_script(main)
