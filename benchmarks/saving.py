"""The cost of saving a training checkpoint: `python benchmarks/saving.py [--model sknet50] [--rounds 5]`.

Times one save of weights, optimizer and description as train.py does it (written, flushed, read back, compared,
renamed), the same without the flush, MindSpore's own `save_checkpoint` of the same arrays (neither flushed nor read
back), and reading it again with its checksum verified. Rounds alternate; medians in seconds.
"""

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))
import mindcv

import mindspore as ms

from mindcv.checkpoint import CheckpointStore, read_checkpoint
from mindcv.engine import Progress, SaveCheckpoints, TrainState, TrainStep
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer
from mindcv.runtime import setup_runtime


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="sknet50")
    parser.add_argument("--opt", default="momentum")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    setup_runtime(device_target="CPU")
    network = mindcv.create_model(options.model, num_classes=1000)
    state = TrainState(TrainStep(network, create_loss(), create_optimizer(network, options.opt, lr=[0.1] * 10)))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        store = CheckpointStore(folder, options.model)
        saver = SaveCheckpoints(store, state, {"model": network.description}, {})
        arrays = {**state.weights(), **state.arrays()}
        entries = [{"name": name, "data": ms.Tensor(array)} for name, array in arrays.items()]
        plain = os.path.join(folder, "plain.ckpt")
        times = {"save": [], "save, not flushed": [], "MindSpore's save": [], "read": []}
        flush = os.fsync
        for turn in range(options.rounds):
            # A new position each time: a state that is saved already is not saved again.
            times["save"].append(timed(partial(saver.save_now, Progress(epoch=turn, batch=1))))
            os.fsync = lambda descriptor: None
            times["save, not flushed"].append(timed(partial(saver.save_now, Progress(epoch=turn, batch=2))))
            os.fsync = flush
            times["MindSpore's save"].append(timed(lambda: ms.save_checkpoint(entries, plain)))
            times["read"].append(timed(lambda: read_checkpoint(store.last)))
        size = store.last.stat().st_size / 1e6
    print(f"{options.model}, {options.opt}, {len(arrays)} arrays, {size:.0f} MB")
    for what, seconds in times.items():
        print(f"  {what:18} {median(seconds):6.2f} s  ({size / median(seconds):5.0f} MB/s)")


if __name__ == "__main__":
    main()
