"""Measure a checkpoint: `python validate.py --ckpt_path=./ckpt/sknet50-best.ckpt`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)
from config import load_config, run_script

if TYPE_CHECKING:
    from mindcv.engine import Evaluation


def main(argv: Sequence[str] | None = None) -> Evaluation:
    config = load_config(argv, prog="validate")
    if not config.model.ckpt_path and not config.model.pretrained:
        raise ValueError("nothing to validate: name a checkpoint with --ckpt_path, or use --pretrained.")

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from build import build_loader, build_to_run
    from mindcv.engine import evaluate
    from mindcv.runtime import setup_runtime
    from start import read_start

    config, weights = read_start(config, argv, "validate")
    setup_runtime(mode=config.runtime.mode, device_target=config.runtime.device_target, seed=config.runtime.seed)

    loader = build_loader(config, is_training=False)
    network = build_to_run(config, weights, loader.dataset.class_names)
    result = evaluate(network, loader)

    print(
        f"{config.model.model} on {config.data.dataset}, split {loader.dataset.split}: {result.num_examples:,} images "
        f"in {result.seconds:.1f} s\n"
        f"top-1 {result.top1:.2f} %  top-5 {result.top5:.2f} %  loss {result.loss:.4f}"
    )
    if "top1" in weights.info.get("metrics", {}):
        saved = weights.info["metrics"]
        print(
            f"while training (epoch {weights.info['epoch']}): top-1 {saved['top1']:.2f} %  "
            f"top-5 {saved['top5']:.2f} %  loss {saved['loss']:.4f}"
        )
    return result


if __name__ == "__main__":
    run_script(main)
