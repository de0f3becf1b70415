"""Generates schedule_goldens.npz from PyTorch, timm and MindCV: `python tests/goldens/make_schedule_goldens.py FOLDER`,
where FOLDER is `mindcv/scheduler` in MindCV's sources, which needs no MindSpore.

The file in the repository was made with PyTorch 2.13, timm 1.0.31 and MindCV 0.5.0. Each array holds learning rates,
one per update or epoch, under the name of the case in tests/scheduler/test_schedule_goldens.py.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from timm.scheduler import CosineLRScheduler, MultiStepLRScheduler, PlateauLRScheduler, PolyLRScheduler, StepLRScheduler
from torch.optim.lr_scheduler import CyclicLR, ExponentialLR, OneCycleLR, PolynomialLR

LR = 0.5
SCORES = [50, 60, 61, 60, 59, 61, 61, 62, 61, 61, 61, 61, 61, 61, 61, 61, 63, 60, 60, 60]  # top-1 of twenty epochs


def optimizer(lr: float = LR) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)


def of_torch(build: Callable, count: int) -> list[float]:
    sgd = optimizer()
    scheduler = build(sgd)
    rates = []
    for _ in range(count):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    return rates


def of_timm(build: Callable, count: int, **options: float) -> list[float]:
    sgd = optimizer()
    scheduler = build(sgd, **options)
    rates = []
    for position in range(count):
        scheduler.step(position)
        rates.append(sgd.param_groups[0]["lr"])
    return rates


def timm_plateau(**options: float) -> list[float]:
    """The rate of each epoch, as timm's train.py calls the scheduler: once before an epoch, once with its score."""
    sgd = optimizer()
    scheduler = PlateauLRScheduler(sgd, mode="max", threshold=0.0, **options)
    rates = []
    for epoch, score in enumerate(SCORES):
        rates.append(sgd.param_groups[0]["lr"])
        scheduler.step(epoch + 1, score)
    return rates


def main(mindcv_scheduler: str) -> None:
    sys.path.insert(0, str(Path(mindcv_scheduler).parent))
    from scheduler import create_scheduler  # MindCV's

    warmup = {"warmup_t": 4, "warmup_lr_init": 0.05}
    goldens = {
        "torch/one_cycle": of_torch(
            lambda sgd: OneCycleLR(sgd, LR, total_steps=40, div_factor=10.0, final_div_factor=5.0), 40
        ),
        "torch/one_cycle_late": of_torch(lambda sgd: OneCycleLR(sgd, LR, total_steps=37, pct_start=0.61), 37),
        "torch/polynomial": of_torch(lambda sgd: PolynomialLR(sgd, total_iters=19, power=1.7), 20),
        "torch/exponential": of_torch(lambda sgd: ExponentialLR(sgd, gamma=0.8), 20),
        "torch/cyclic": of_torch(lambda sgd: CyclicLR(sgd, 0.1, LR, step_size_up=5), 40),
        "timm/cosine": of_timm(CosineLRScheduler, 24, t_initial=19, lr_min=0.01, warmup_prefix=True, **warmup),
        "timm/cosine_k": of_timm(CosineLRScheduler, 20, t_initial=19, lr_min=0.01, k_decay=1.5),
        "timm/cosine_cycles": of_timm(
            CosineLRScheduler, 34, t_initial=10, lr_min=0.01, cycle_limit=3, cycle_decay=0.6, k_decay=0.7
        ),
        "timm/polynomial": of_timm(PolyLRScheduler, 20, t_initial=19, lr_min=0.01, power=2.5, k_decay=1.5),
        "timm/step": of_timm(StepLRScheduler, 20, decay_t=6, decay_rate=0.3, warmup_prefix=False, **warmup),
        "timm/multi_step": of_timm(  # it drops one epoch before its milestones
            MultiStepLRScheduler, 20, decay_t=[7, 10, 18], decay_rate=0.3, warmup_prefix=False, **warmup
        ),
        "timm/plateau": timm_plateau(decay_rate=0.2, patience_t=3, lr_min=0.01),
        "timm/plateau_warmup": timm_plateau(decay_rate=0.5, patience_t=2, lr_min=0.0, **warmup),
    }
    usual = {"steps_per_epoch": 50, "lr": LR, "min_lr": 0.01, "num_epochs": 12, "warmup_epochs": 0}
    cycles = {"scheduler": "cosine_decay", "decay_epochs": 5, "num_cycles": 2, "cycle_decay": 0.5}
    warm = {"warmup_epochs": 2, "warmup_factor": 0.1}
    cases = {
        "constant": {"scheduler": "constant", **warm},
        "cosine_cycles": {**cycles, **warm},
        "cosine_cycles_stair": {**cycles, **warm, "lr_epoch_stair": True},
        "cosine_cut_off": {"scheduler": "cosine_decay", "decay_epochs": 30},
        "exponential": {"scheduler": "exponential_decay", "decay_rate": 0.8, **warm},
        "exponential_stair": {"scheduler": "exponential_decay", "decay_rate": 0.8, "lr_epoch_stair": True, **warm},
        "polynomial": {"scheduler": "polynomial_decay", "decay_rate": 1.5, **warm},
        "one_cycle": {"scheduler": "one_cycle"},
        "cyclic": {"scheduler": "cyclic", "num_cycles": 3},
        "step": {"scheduler": "step_decay", "decay_epochs": 5, "decay_rate": 0.3},
        "multi_step": {"scheduler": "multi_step_decay", "milestones": [3, 7], "decay_rate": 0.3},
    }
    goldens |= {f"mindcv/{name}": create_scheduler(**{**usual, **case}) for name, case in cases.items()}
    np.savez_compressed(Path(__file__).parent / "schedule_goldens.npz", **goldens)
    print(*(f"{name}: {len(rates)}" for name, rates in goldens.items()), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1])
