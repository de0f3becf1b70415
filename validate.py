"""Measure a checkpoint: `python validate.py --ckpt_path=./ckpt/sknet50-best.ckpt`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)
from config import COMMAND_LINE, load_config, run_script

if TYPE_CHECKING:
    from mindcv.engine import Evaluation

# What a checkpoint's own configuration says, but is a matter of this run: where and from what to start.
_NOT_INHERITED = {"device_target", "debug", "ckpt_path", "pretrained", "dataset_download", "num_parallel_workers"}


def main(argv: Sequence[str] | None = None) -> Evaluation:
    config = load_config(argv, prog="validate")

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from build import build_loader, build_network
    from mindcv.checkpoint import check_fits, read_checkpoint
    from mindcv.engine import evaluate
    from mindcv.models import MODELS
    from mindcv.runtime import setup_runtime

    checkpoint = read_checkpoint(config.model.ckpt_path) if config.model.ckpt_path else None
    if checkpoint and checkpoint.info:
        asked = {key: value for key, value in config.to_dict().items() if config.sources[key] == COMMAND_LINE}
        check_fits(checkpoint, **{key: asked[key] for key in asked.keys() & checkpoint.info["model"].keys()})
        own = {key: value for key, value in checkpoint.info["config"].items() if key not in _NOT_INHERITED}
        config = load_config(argv, prog="validate", inherited=own, inherited_from=str(checkpoint.path))
    elif not checkpoint and not config.model.pretrained:
        raise ValueError("nothing to validate: name a checkpoint with --ckpt_path, or use --pretrained.")
    print(*config.notices, sep="\n", end="\n" if config.notices else "")
    MODELS.get(config.model.model)
    setup_runtime(mode=config.runtime.mode, device_target=config.runtime.device_target, seed=config.runtime.seed)

    loader = build_loader(config, is_training=False)
    network = build_network(config, loader.dataset.class_names, checkpoint)
    result = evaluate(network, loader)

    print(
        f"{config.model.model} on {config.data.dataset}, split {loader.dataset.split}: {result.num_examples:,} images "
        f"in {result.seconds:.1f} s\n"
        f"top-1 {result.top1:.2f} %  top-5 {result.top5:.2f} %  loss {result.loss:.4f}"
    )
    if checkpoint and "top1" in checkpoint.info.get("metrics", {}):
        saved = checkpoint.info["metrics"]
        print(
            f"while training (epoch {checkpoint.info['epoch']}): top-1 {saved['top1']:.2f} %  "
            f"top-5 {saved['top5']:.2f} %  loss {saved['loss']:.4f}"
        )
    return result


if __name__ == "__main__":
    run_script(main)
