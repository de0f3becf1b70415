"""Generates mindcv_goldens.npz from MindCV: `python tests/goldens/make_mindcv_goldens.py` in an environment with PyPI's
mindcv, which must not have this project on its PYTHONPATH: both packages have the same name.

The file in the repository was made with mindcv 0.3.0 (seresnet18, seresnet34, seresnext26_32x4d,
resnext101_64x4d and resnext152_64x4d: 0.5.0) and MindSpore 2.10.0 on a CPU, in float32 (set
ONEDNN_MAX_CPU_ISA=AVX2 where MindSpore's convolutions are slow). For each model it holds `model`, the logits (2, 10) of
`recipe.mindcv_images()` in evaluation, with the weights of `recipe.mindcv_weight`, and `model/names`, the names in the
checkpoint that MindSpore writes of it, joined by spaces; of models that differ in depth only, those of one.

Prints the difference between Graph and Pynative mode for each model: zero when the file was made.
"""

import os
import sys
import tempfile
from pathlib import Path

import mindspore as ms
import numpy as np
import recipe

import mindcv

NAMED = ("resnet18", "resnet50", "seresnet18", "seresnet50", "skresnet18", "skresnet50")


def logits(name: str, mode: int) -> np.ndarray:
    ms.set_context(mode=mode)
    network = mindcv.create_model(name, num_classes=recipe.NUM_CLASSES)
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(recipe.mindcv_weight(parameter.name, parameter.shape)))
    return network.set_train(False)(ms.Tensor(recipe.mindcv_images())).asnumpy().copy()


def checkpoint_names(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.ckpt")
        ms.save_checkpoint(mindcv.create_model(name, num_classes=recipe.NUM_CLASSES), path)
        return " ".join(ms.load_checkpoint(path))


def main() -> None:
    print(mindcv.__file__, mindcv.__version__, ms.__version__)
    goldens = {}
    for name in recipe.MINDCV_MODELS:
        goldens[name] = logits(name, ms.PYNATIVE_MODE)
        difference = np.abs(logits(name, ms.GRAPH_MODE) - goldens[name]).max() / np.abs(goldens[name]).max()
        print(f"{name}: modes differ by {difference:.1e}, logits up to {np.abs(goldens[name]).max():.1f}", flush=True)
        if name in NAMED:
            goldens[f"{name}/names"] = np.array(checkpoint_names(name))
    np.savez_compressed(Path(__file__).parent / "mindcv_goldens.npz", **goldens)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # MindSpore's cells raise errors at interpreter shutdown
