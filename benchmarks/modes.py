"""Fills the README's benchmark row for this machine: seconds per epoch and inference time in both modes.

    python benchmarks/modes.py --ckpt_path=./ckpt/sknet50-best.ckpt

Training: one epoch of the digits preset, all 44 steps, compilation left out. Inference: one 224x224 image, batch 1,
median of 15. Top-1 and top-5 are those the checkpoint recorded. Each mode runs in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import mindcv  # first: it sets what MindSpore reads


def measure(mode: int) -> dict[str, float]:
    """Seconds per training epoch and milliseconds per image in one mode."""
    import numpy as np
    from mindspore import Tensor

    from build import build_loader, build_network
    from config import load_config
    from mindcv.engine import TrainStep

    config = load_config(["--model=sknet50", f"--mode={mode}", "--device_target=CPU"], prog="train")
    mindcv.setup_runtime(mode=mode, device_target="CPU", seed=1)
    loader = build_loader(config, is_training=True)
    network = build_network(config, loader.dataset.class_names, None)
    step = TrainStep(
        network,
        mindcv.create_loss(**vars(config.loss)),
        mindcv.create_optimizer(network, **vars(config.optim), lr=config.schedule.lr),
    )
    step.set_train(True)
    images, labels = next(iter(loader.epoch(0)))
    step(Tensor(images), Tensor(labels))[0].asnumpy()  # compiles
    start = time.perf_counter()
    for images, labels in loader.epoch(1):
        step(Tensor(images), Tensor(labels))[0].asnumpy()
    epoch_seconds = time.perf_counter() - start

    network.set_train(False)
    image = Tensor(np.zeros((1, 3, 224, 224), np.float32))
    network(image).asnumpy()
    times = []
    for _ in range(15):
        start = time.perf_counter()
        network(image).asnumpy()
        times.append(1000 * (time.perf_counter() - start))
    return {"epoch_seconds": epoch_seconds, "infer_ms": statistics.median(times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt_path", help="checkpoint of the digits preset, for top-1 and top-5")
    parser.add_argument("--measure", type=int, choices=(0, 1), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measure(arguments.measure)))
        return
    graph, pynative = (
        json.loads(
            subprocess.run(
                [sys.executable, __file__, f"--measure={mode}"], cwd=ROOT, check=True, capture_output=True, text=True
            ).stdout.splitlines()[-1]
        )
        for mode in (0, 1)
    )
    top1 = top5 = "not measured"
    if arguments.ckpt_path:
        from mindcv.checkpoint import read_checkpoint

        metrics = read_checkpoint(arguments.ckpt_path).require_info()["metrics"]
        top1, top5 = f"{metrics['top1']:.2f} %", f"{metrics['top5']:.2f} %"
    print("| Device | Data | Top-1 | Top-5 | Pynative train | Pynative infer | Graph train | Graph infer |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| CPU | digits | {top1} | {top5} | {pynative['epoch_seconds']:.1f} s/epoch | {pynative['infer_ms']:.0f} ms | "
        f"{graph['epoch_seconds']:.1f} s/epoch | {graph['infer_ms']:.0f} ms |"
    )


if __name__ == "__main__":
    main()
