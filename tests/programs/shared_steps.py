"""Steps of two processes: `python tests/programs/shared_steps.py FOLDER MODE`, started by `mindcv.launch`.

Writes what each process saw to FOLDER/RANK.npz, and the states of every step after each of its calls.
"""

import sys
from pathlib import Path

import mindcv  # noqa: F401  (first: it sets what MindSpore reads when it is imported)

# isort: split
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from photo_steps import GOOD, Small, with_pixel

from mindcv.engine import Clip, DeviceStep, TrainStep, WeightAverage, create_loss_scale
from mindcv.distributed import is_meeting_point
from mindcv.launch import prepare_process
from mindcv.loss import create_loss
from mindcv.models.layers import DropPath
from mindcv.optim import create_optimizer
from mindcv.runtime import join, setup_runtime

CALLS = 4
KINDS = {"host": TrainStep, "device": DeviceStep}


def build(kind, world, *, drop_path, combined, frozen=False):
    ms.set_seed(5)
    network = Small(drop_path)
    for _, cell in network.first.cells_and_names() if frozen else ():
        if isinstance(cell, nn.BatchNorm2d):
            cell.use_batch_statistics = False
    optimizer = create_optimizer(network, "momentum", lr=0.1, weight_decay=0.01)
    options = {}
    if combined:
        options = {
            "clip": Clip("norm", 0.1, optimizer.parameters),
            "average": WeightAverage(network, 0.9, 3.0),
            "loss_scale": create_loss_scale("dynamic", 2.0, "O2", "float16", skips_overflow=False),
            "accumulate_steps": 2,
        }
    return kind(network, create_loss("CE"), optimizer, world=world, **options).set_train(True)


def main():
    folder, mode = Path(sys.argv[1]), int(sys.argv[2])
    prepare_process()
    setup_runtime(mode=mode, device_target="CPU")
    world = join()
    if is_meeting_point():
        return
    seen = {
        "world": np.array([world.rank, world.size]),
        "sums": np.array(world.add([0.1 * (world.rank + 1), 2.0**60, -1e-300])),
        "any": np.array([world.any(False), world.any(world.rank == 1)]),
        "mask": DropPath(0.5, seed=0).set_train(True)(Tensor(np.ones((64, 1, 1, 1), np.float32))).asnumpy(),
    }
    cases = {"plain": {"drop_path": 0.0, "combined": False}, "combined": {"drop_path": 0.3, "combined": True}}
    for case, options in cases.items():
        for name, kind in KINDS.items():
            step = build(kind, world, **options)
            for call in range(CALLS):
                batch = GOOD[2 * call + world.rank]
                if case == "combined" and (call, world.rank) == (2, 1):
                    batch = with_pixel(np.nan)
                if (call, world.rank) == (CALLS - 1, 1):
                    step.ask_to_stop()
                result = step(*batch)
                seen[f"{case} {name} {call} result"] = np.array([output.asnumpy().item() for output in result])
                if not result.finite.asnumpy():
                    step.reopen()
                own = {p.name: p for cell in (step, step.network, step.optimizer) for p in cell.get_parameters()}
                for parameter, value in own.items():
                    seen[f"{case} {name} {call} state {parameter}"] = value.asnumpy().copy()
    step = build(TrainStep, world, drop_path=0.0, combined=False, frozen=True)
    seen["shared statistics"] = np.array([statistic.name for statistic in step.sharing.statistics])
    np.savez(folder / f"{world.rank}.npz", **seen)
    world.any(False)


main()
