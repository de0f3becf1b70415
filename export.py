"""Export a network to ONNX or MindIR: `python export.py --ckpt_path=./ckpt/sknet50-best.ckpt --output=sknet50.onnx`."""

from collections.abc import Sequence
from functools import partial

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)
from config import load_config
from early import check_names_and_paths
from mindcv.console import say
from mindcv.script import run_script


def main(argv: Sequence[str] | None = None) -> None:
    config = load_config(argv, prog="export")
    if not config.model.ckpt_path and not config.model.pretrained:
        raise ValueError("nothing to export: name a checkpoint with --ckpt_path, or use --pretrained.")
    check_names_and_paths(config)

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from assemble import build_to_run, start_runtime
    from assemble_weights import as_own_checkpoint, weights_to_use
    from mindcv.engine import compiling_shown
    from mindcv.export import check_export_path, export_network
    from mindcv.weights.average import strip_checkpoint

    files = config.files
    check_export_path(files.output)
    config, weights = weights_to_use(config)
    start_runtime(config)

    image = config.eval_image
    with compiling_shown(kept=False):
        export = export_network(
            partial(build_to_run, config, weights, device_forms=False),
            files.output,
            input_size=(image.in_channels, image.image_resize, image.image_resize),
            info=strip_checkpoint(as_own_checkpoint(config, weights))[1],
            dynamic_batch=files.dynamic_batch,
            fold_bn=config.model.fold_bn,
        )
    batch = "any batch size" if files.dynamic_batch else "batches of 1"
    folded = f", {export.num_folded} batch norms folded" if config.model.fold_bn else ""
    say(
        f"{config.model.model}, {export.num_parameters:,} numbers{folded}, {batch}, {image.in_channels} x "
        f"{image.image_resize} x {image.image_resize} images: {export.path}, {export.num_bytes / 1e6:.1f} MB\n"
        f"loaded again and compared with the network on random images: logits differ by {export.difference:.1e} of the "
        f"largest (up to {export.tolerance:.0e} passes)"
    )


if __name__ == "__main__":
    run_script(main)
