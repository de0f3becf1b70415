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
    from mindcv.engine import Measured

BAD_IMAGES = "bad_images.csv"  # in the current folder; written only if there are any


def main(argv: Sequence[str] | None = None) -> Measured | int:
    """Returns the result, or with --check_data the exit code: 1 if an image is bad or a class unknown."""
    config = load_config(argv, prog="validate")
    if not config.data.check_data and not config.model.ckpt_path and not config.model.pretrained:
        raise ValueError("nothing to validate: name a checkpoint with --ckpt_path, or use --pretrained.")
    check_names_and_paths(config)

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from assemble import build_to_infer, describe_graphs, graph_folder, start_runtime
    from assemble_data import build_measuring_loader, say_remarks
    from assemble_weights import weights_to_start, weights_to_use
    from mindcv.compile_cache import compiled_graphs_kept
    from mindcv.engine import (
        LabelScores,
        Outcomes,
        compiling_shown,
        evaluation_kind,
        in_words,
        memory_explained,
        with_views,
    )
    from mindcv.report import format_bad_images, report_validation

    if config.data.check_data:
        return check_data(*weights_to_start(config))
    config, weights = weights_to_use(config)
    start_runtime(config)

    loader = build_measuring_loader(config, weights)
    say_remarks(loader.dataset)
    network = build_to_infer(config, weights, loader.dataset.class_names)
    multi_label = loader.dataset.is_multi_label
    if multi_label and config.files.confusion_matrix:
        raise ValueError(
            f"confusion_matrix needs one label per image; data set {config.data.dataset!r} has several. Leave it out: "
            "--report gives the average precision of each class."
        )
    evaluate, _ = evaluation_kind(multi_label=multi_label)
    observed: LabelScores | Outcomes = LabelScores() if multi_label else Outcomes()
    reports = bool(config.files.report or config.files.confusion_matrix)
    with (
        memory_explained(loader.batch_size),
        compiled_graphs_kept(graph_folder(config), described_by=describe_graphs(config, network)) as kept,
        compiling_shown(kept=kept),
    ):
        views = with_views(network, config.model.tta, config.eval_image.image_resize, multi_label=multi_label)
        result = evaluate(views, loader, observe=observed.add if reports else None)
    assert result is not None, "evaluate was given no stop"

    shown_views = "" if config.model.tta == "none" else f" (tta={config.model.tta})"
    left_out = ""
    if result.num_bad:
        listed = format_bad_images([*loader.bad_images.items()], shown=5)
        left_out = f"; {result.num_bad:,} unreadable left out:\n{listed}"
    say(
        f"{config.model.model} on {config.data.dataset}, split {loader.dataset.split}{shown_views}: "
        f"{result.num_examples:,} images in {result.seconds:.1f} s{left_out}\n"
        f"{'  '.join(in_words(result.measures))}  loss {result.loss:.4f}"
    )
    if result.num_not_finite:
        warn(
            f"the network's output is NaN or infinite for {result.num_not_finite:,} of "
            f"{result.num_examples:,} images: they count as wrong, and the loss is meaningless"
        )
    if reports:
        about = {"model": config.model.model, "dataset": config.data.dataset, "split": loader.dataset.split}
        files = (config.files.report, config.files.confusion_matrix)
        report_validation(result, observed, loader.dataset.class_names, about, *files)
    saved = weights.info.get("metrics", {})
    if shares := in_words(saved):
        say(f"while training (epoch {weights.info['epoch']}): {'  '.join(shares)}  loss {saved['loss']:.4f}")
    return result


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
