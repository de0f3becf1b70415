"""create_scheduler against tables computed by hand."""

import math

import pytest

from mindcv.scheduler import SCHEDULERS, create_scheduler

# name, arguments, expected rates
TABLE = [
    ("constant", {"lr": 0.1, "epochs": 2, "updates_per_epoch": 2}, [0.1] * 4),
    (
        "constant",
        {"lr": 1.0, "epochs": 3, "updates_per_epoch": 2, "warmup_epochs": 2, "warmup_factor": 0.2},
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0],
    ),
    (  # warmup of 1.5 updates: the line passes 0.1 at 0 and 1 at 1.5
        "constant",
        {"lr": 1.0, "epochs": 1, "updates_per_epoch": 3, "warmup_epochs": 0.5, "warmup_factor": 0.1},
        [0.1, 0.7, 1.0],
    ),
    (
        "cosine_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 1, "min_lr": 0.2},
        [1.0, 0.2 + 0.4 * (1 + math.sqrt(0.5)), 0.6, 0.2 + 0.4 * (1 - math.sqrt(0.5)), 0.2],
    ),
    (
        "cosine_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 1, "warmup_epochs": 2, "warmup_factor": 0.5},
        [0.5, 0.75, 1.0, 0.5, 0.0],
    ),
    (
        "cosine_decay",
        {"lr": 1.0, "epochs": 6, "updates_per_epoch": 1, "warmup_epochs": 1, "warmup_factor": 0.5, "decay_epochs": 3},
        [0.5, 1.0, 0.5, 0.0, 0.0, 0.0],
    ),
    (  # a decay longer than the run is cut off
        "cosine_decay",
        {"lr": 1.0, "epochs": 2, "updates_per_epoch": 1, "decay_epochs": 3},
        [1.0, 0.5],
    ),
    (
        "step_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 2, "decay_epochs": 2, "decay_rate": 0.5},
        [1.0] * 4 + [0.5] * 4 + [0.25] * 2,
    ),
    (  # drops at absolute epochs 2 and 4, not 2 epochs after the warmup
        "step_decay",
        {
            "lr": 1.0,
            "epochs": 5,
            "updates_per_epoch": 1,
            "warmup_epochs": 1,
            "warmup_factor": 0.5,
            "decay_epochs": 2,
            "decay_rate": 0.1,
        },
        [0.5, 1.0, 0.1, 0.1, 0.01],
    ),
    (
        "step_decay",
        {"lr": 1.0, "epochs": 4, "updates_per_epoch": 1, "min_lr": 0.05, "decay_epochs": 1},
        [1.0, 0.1, 0.05, 0.05],
    ),
    (  # milestones are absolute as well
        "multi_step_decay",
        {
            "lr": 1.0,
            "epochs": 6,
            "updates_per_epoch": 1,
            "warmup_epochs": 2,
            "warmup_factor": 0.5,
            "multi_step_decay_milestones": (3, 5),
        },
        [0.5, 0.75, 1.0, 0.1, 0.1, 0.01],
    ),
    (
        "multi_step_decay",
        {"lr": 1.0, "epochs": 2, "updates_per_epoch": 2, "multi_step_decay_milestones": [0.5, 1], "decay_rate": 0.5},
        [1.0, 0.5, 0.25, 0.25],
    ),
    (  # a warmup of three updates
        "constant",
        {"lr": 1.0, "epochs": 2, "updates_per_epoch": 2, "warmup_steps": 3, "warmup_factor": 0.1},
        [0.1, 0.4, 0.7, 1.0],
    ),
    (  # every epoch at the rate of its first update, in the warmup too
        "cosine_decay",
        {
            "lr": 1.0,
            "epochs": 5,
            "updates_per_epoch": 2,
            "warmup_epochs": 2,
            "warmup_factor": 0.5,
            "lr_epoch_stair": True,
        },
        [0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
        + [0.5 * (1 + math.cos(math.pi * 2 / 5))] * 2
        + [0.5 * (1 + math.cos(math.pi * 4 / 5))] * 2,
    ),
    (  # two cycles of three updates, the second half as high; the seventh update is left over
        "cosine_decay",
        {"lr": 1.0, "epochs": 7, "updates_per_epoch": 1, "min_lr": 0.2, "num_cycles": 2, "cycle_decay": 0.5},
        [1.0, 0.6, 0.2, 0.5, 0.35, 0.2, 0.2],
    ),
    (  # decay_epochs is the length of one cycle
        "cosine_decay",
        {"lr": 1.0, "epochs": 8, "updates_per_epoch": 1, "warmup_epochs": 1, "decay_epochs": 3, "num_cycles": 2},
        [0.01, 1.0, 0.5, 0.0, 1.0, 0.5, 0.0, 0.0],
    ),
    (  # no cycle is lower than min_lr
        "cosine_decay",
        {"lr": 1.0, "epochs": 6, "updates_per_epoch": 1, "min_lr": 0.5, "num_cycles": 3, "cycle_decay": 0.6},
        [1.0, 0.5, 0.6, 0.5, 0.5, 0.5],
    ),
    (
        "cosine_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 1, "min_lr": 0.2, "cooldown_epochs": 2},
        [1.0, 0.6, 0.2, 0.2, 0.2],
    ),
    (
        "cosine_decay",
        {"lr": 1.0, "epochs": 3, "updates_per_epoch": 1, "lr_k_decay": 2.0},
        [1.0, 0.5 * (1 + math.sqrt(0.5)), 0.0],
    ),
    (  # 0.9 for an epoch after the warmup, its root for half of one
        "exponential_decay",
        {"lr": 1.0, "epochs": 3, "updates_per_epoch": 2, "warmup_epochs": 1, "warmup_factor": 0.5},
        [0.5, 0.75, 1.0, math.sqrt(0.9), 0.9, 0.9 * math.sqrt(0.9)],
    ),
    (
        "exponential_decay",
        {"lr": 1.0, "epochs": 2, "updates_per_epoch": 2, "decay_rate": 0.25, "min_lr": 0.2},
        [1.0, 0.5, 0.25, 0.2],
    ),
    (
        "exponential_decay",
        {"lr": 1.0, "epochs": 2, "updates_per_epoch": 3, "decay_rate": 0.5, "lr_epoch_stair": True},
        [1.0] * 3 + [0.5] * 3,
    ),
    (  # a straight line
        "polynomial_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 1, "min_lr": 0.2},
        [1.0, 0.8, 0.6, 0.4, 0.2],
    ),
    (
        "polynomial_decay",
        {"lr": 1.0, "epochs": 6, "updates_per_epoch": 1, "warmup_epochs": 1, "decay_rate": 2.0, "lr_k_decay": 2.0},
        [0.01, 1.0, (15 / 16) ** 2, (3 / 4) ** 2, (7 / 16) ** 2, 0.0],
    ),
    (
        "polynomial_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 1, "min_lr": 0.5, "cooldown_epochs": 2},
        [1.0, 0.75, 0.5, 0.5, 0.5],
    ),
    (  # up for 0.3 * 10 - 1 updates, then down for the other seven
        "one_cycle",
        {"lr": 1.0, "epochs": 10, "updates_per_epoch": 1, "div_factor": 10.0, "min_lr": 0.02},
        [0.1, 0.55, 1.0] + [0.02 + 0.49 * (1 + math.cos(math.pi * i / 7)) for i in range(1, 8)],
    ),
    (  # too short to rise
        "one_cycle",
        {"lr": 1.0, "epochs": 3, "updates_per_epoch": 1},
        [1.0, 0.5, 0.0],
    ),
    (
        "cyclic",
        {"lr": 1.0, "epochs": 8, "updates_per_epoch": 1, "min_lr": 0.2, "num_cycles": 2},
        [0.2, 0.6, 1.0, 0.6] * 2,
    ),
    (
        "plateau",
        {"lr": 1.0, "epochs": 4, "updates_per_epoch": 1, "warmup_epochs": 2, "warmup_factor": 0.5},
        [0.5, 0.75, 1.0, 1.0],
    ),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), TABLE)
def test_schedule_equals_the_hand_made_table(name, arguments, expected):
    assert create_scheduler(name, **arguments) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_every_registered_schedule_is_in_the_table():
    assert {name for name, _, _ in TABLE} == set(SCHEDULERS.names())
