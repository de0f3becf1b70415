"""Classify images: `python infer.py --ckpt_path=./ckpt/sknet50-best.ckpt --images=photos`."""

import shutil
from collections.abc import Sequence

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)
from config import load_config
from early import check_names_and_paths
from mindcv.console import say
from mindcv.script import run_script


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 if an image could not be predicted."""
    config = load_config(argv, prog="infer")
    files = config.files
    if not config.model.ckpt_path and not config.model.pretrained:
        raise ValueError("nothing to predict with: name a checkpoint with --ckpt_path, or use --pretrained.")
    check_names_and_paths(config)

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from assemble import build_to_infer, describe_graphs, graph_folder, start_runtime
    from assemble_weights import class_names_of, weights_to_use
    from mindcv.compile_cache import compiled_graphs_kept
    from mindcv.data import ImageFiles, create_transforms, find_images
    from mindcv.engine import compiling_shown, predict, size_to_load, with_views
    from mindcv.report import format_predictions, write_predictions

    remarks: list[str] = []
    paths = find_images(files.images, remarks)
    for remark in remarks:
        say(remark)
    config, weights = weights_to_use(config)
    start_runtime(config)

    network = build_to_infer(config, weights)
    multi_label = weights.info.get("is_multi_label", False)
    image, tta = config.eval_image, config.model.tta
    size = size_to_load(tta, image.image_resize, image.crop_pct)
    transforms = create_transforms(is_training=False, **{**vars(image), **size})
    batches = ImageFiles(paths, transforms, config.eval_batch_size, config.data.num_parallel_workers)
    with (
        compiled_graphs_kept(graph_folder(config), described_by=describe_graphs(config, network)) as kept,
        compiling_shown(kept=kept),
    ):
        views = with_views(network, tta, image.image_resize, multi_label=multi_label)
        result = predict(views, batches, class_names_of(weights), files.topk, multi_label=multi_label)

    say(format_predictions(result.predictions, result.failures, shutil.get_terminal_size().columns))
    say(f"\n{len(result.predictions):,} of {len(paths):,} images predicted in {result.seconds:.1f} s")
    if files.output:
        write_predictions(files.output, result.predictions, result.failures)
        say(f"written to {files.output}")
    return 1 if result.failures else 0


if __name__ == "__main__":
    run_script(main)
