"""Make a checkpoint from other weights: import timm's or MindCV's, average several, or strip the training state.

python convert.py --model=sknet50 --ckpt_path=skresnext50_ra-f40e40bf.pth --output=sknet50.ckpt
python convert.py --average ckpt/sknet50-9.ckpt ckpt/sknet50-10.ckpt --output=averaged.ckpt
python convert.py --ckpt_path=ckpt/sknet50-best.ckpt --output=stripped.ckpt
"""

from collections.abc import Sequence
from pathlib import Path

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)
from config import load_config
from early import check_names_and_paths
from mindcv.console import say
from mindcv.script import run_script


def main(argv: Sequence[str] | None = None) -> None:
    config = load_config(argv, prog="convert")
    inputs, output = config.files.average or (config.model.ckpt_path,), Path(config.files.output)
    if config.files.average and (config.model.ckpt_path or config.model.pretrained):
        raise ValueError("--average lists all checkpoints: leave --ckpt_path and --pretrained out.")
    if not any(inputs) and not config.model.pretrained:
        raise ValueError("nothing to convert: use --ckpt_path for a file, --average for several, or --pretrained.")
    if output.suffix != ".ckpt" or not output.parent.is_dir():
        raise ValueError(f"--output must name a .ckpt file in an existing folder; got '{config.files.output}'.")
    if output.exists() and any(output.samefile(path) for path in inputs if Path(path).exists()):
        raise ValueError(f"--output={output} is one of the inputs, which would be lost: choose another name.")
    check_names_and_paths(config)

    # MindSpore takes seconds to import; --help and a mistyped flag should not wait for it.
    from assemble_weights import as_own_checkpoint, weights_to_start
    from mindcv.checkpoint import save_checkpoint
    from mindcv.runtime import setup_runtime
    from mindcv.weights.average import average_checkpoints, strip_checkpoint
    from mindcv.weights.load import read_weights

    config, source = weights_to_start(config)
    setup_runtime(mode=config.runtime.mode, device_target=config.runtime.device_target, seed=config.runtime.seed)
    if source:
        weights, info = strip_checkpoint(as_own_checkpoint(config, source))
        origin = str(source.path)
    else:
        weights, info = average_checkpoints([as_own_checkpoint(config, read_weights(path)) for path in inputs])
        origin = f"the average of {len(inputs)} checkpoints"
    save_checkpoint(output, weights, info)

    count = sum(array.size for array in weights.values())
    say(f"{output}: {info['model']['model']}, {len(weights)} arrays, {count:,} numbers, from {origin}")


if __name__ == "__main__":
    run_script(main)
