"""Every schedule against PyTorch's, timm's and MindCV's, from tests/goldens/make_schedule_goldens.py."""

from pathlib import Path

import numpy as np
import pytest

from mindcv.scheduler import create_scheduler, plateau_factor

GOLDENS = np.load(Path(__file__).parents[1] / "goldens" / "schedule_goldens.npz")
LR = 0.5
# The others divide a decay of N updates by N and come near its end only after it; here the last of N updates is at the
# end. So a decay of N updates here has N - 1 there, and their next cycle begins in place of the last one.
WARM = {"warmup_epochs": 4, "warmup_factor": 0.1}
EXACT = {
    "torch/one_cycle": {"scheduler": "one_cycle", "epochs": 40, "div_factor": 10.0, "min_lr": 0.01},
    "torch/one_cycle_late": {"scheduler": "one_cycle", "epochs": 37, "pct_start": 0.61, "min_lr": 0.5 / 25 / 1e4},
    "torch/polynomial": {"scheduler": "polynomial_decay", "epochs": 20, "decay_rate": 1.7},
    "torch/exponential": {"scheduler": "exponential_decay", "epochs": 20, "decay_rate": 0.8},
    "torch/cyclic": {"scheduler": "cyclic", "epochs": 40, "num_cycles": 4, "min_lr": 0.1},
    "timm/cosine": {"scheduler": "cosine_decay", "epochs": 24, "min_lr": 0.01, **WARM},
    "timm/cosine_k": {"scheduler": "cosine_decay", "epochs": 20, "min_lr": 0.01, "lr_k_decay": 1.5},
    "timm/polynomial": {
        **{"scheduler": "polynomial_decay", "epochs": 20, "min_lr": 0.01, "decay_rate": 2.5},
        "lr_k_decay": 1.5,
    },
    "timm/step": {"scheduler": "step_decay", "epochs": 20, "decay_epochs": 6, "decay_rate": 0.3, **WARM},
    "timm/multi_step": {
        **{"scheduler": "multi_step_decay", "epochs": 20, "multi_step_decay_milestones": (6, 9, 17)},
        **{"decay_rate": 0.3, **WARM},
    },
}


@pytest.mark.parametrize("name", EXACT)
def test_a_schedule_equals_that_of_pytorch_or_timm(name):
    rates = create_scheduler(**{"lr": LR, "updates_per_epoch": 1, **EXACT[name]})
    np.testing.assert_allclose(rates, GOLDENS[name], rtol=1e-12, atol=1e-15)


def test_cycles_equal_timms():
    cycles = {"num_cycles": 3, "cycle_decay": 0.6, "lr_k_decay": 0.7}
    rates = create_scheduler(
        "cosine_decay", lr=LR, min_lr=0.01, epochs=37, updates_per_epoch=1, decay_epochs=11, **cycles
    )
    assert rates[10::11] == [0.01] * 3
    np.testing.assert_allclose(np.delete(rates, [10, 21, 32]), GOLDENS["timm/cosine_cycles"], rtol=1e-12)


@pytest.mark.parametrize(
    "name, options",
    [
        ("timm/plateau", {"decay_rate": 0.2, "patience_epochs": 3, "min_lr": 0.01, "warmup_epochs": 0}),
        ("timm/plateau_warmup", {"decay_rate": 0.5, "patience_epochs": 2, "min_lr": 0.0, "warmup_epochs": 4}),
    ],
)
def test_plateau_lowers_the_rates_as_timms_does(name, options):
    scores = [50, 60, 61, 60, 59, 61, 61, 62, 61, 61, 61, 61, 61, 61, 61, 61, 63, 60, 60, 60]  # as in the script
    run = {"epochs": 20, "updates_per_epoch": 1, "warmup_factor": 0.1}
    rates = create_scheduler("plateau", lr=LR, **run, **options)
    lowered = [
        rate * plateau_factor(enumerate(scores[:epoch], 1), lr=LR, **options) for epoch, rate in enumerate(rates)
    ]
    np.testing.assert_allclose(lowered, GOLDENS[name], rtol=1e-12)


USUAL = {"lr": LR, "min_lr": 0.01, "epochs": 12, "updates_per_epoch": 50}
MINDCV_WARM = {"warmup_epochs": 2, "warmup_factor": 0.1}
CYCLES = {"scheduler": "cosine_decay", "decay_epochs": 5, "num_cycles": 2, "cycle_decay": 0.5, **MINDCV_WARM}
EXPONENTIAL = {"scheduler": "exponential_decay", "decay_rate": 0.8, **MINDCV_WARM}
# MindCV ignores min_lr in exponential_decay and polynomial_decay. It counts drops from the end of the warmup, so those
# are compared without one. The tolerance of decays with an end is the N of N updates against N - 1, at their steepest.
MINDCV = {
    "constant": ({"scheduler": "constant", **MINDCV_WARM}, 1e-12),
    "cosine_cycles": (CYCLES, LR * 1.6 / 249),
    "cosine_cycles_stair": ({**CYCLES, "lr_epoch_stair": True}, LR * 1.6 / 249),
    "cosine_cut_off": ({"scheduler": "cosine_decay", "decay_epochs": 30}, LR * 1.6 / 1499),
    "exponential": (EXPONENTIAL, 1e-12),
    "exponential_stair": ({**EXPONENTIAL, "lr_epoch_stair": True}, 1e-12),
    "polynomial": (
        {"scheduler": "polynomial_decay", "decay_rate": 1.5, "min_lr": 0.0, **MINDCV_WARM},
        LR * 1.5 / 499,
    ),
    "one_cycle": ({"scheduler": "one_cycle"}, 1e-12),
    "cyclic": ({"scheduler": "cyclic", "num_cycles": 3}, 1e-12),
    "step": ({"scheduler": "step_decay", "decay_epochs": 5, "decay_rate": 0.3}, 1e-12),
    "multi_step": (
        {"scheduler": "multi_step_decay", "multi_step_decay_milestones": (3, 7), "decay_rate": 0.3},
        1e-12,
    ),
}


@pytest.mark.parametrize("name", MINDCV)
def test_an_option_of_mindcv_means_what_it_means_there(name):
    options, tolerance = MINDCV[name]
    np.testing.assert_allclose(
        create_scheduler(**{**USUAL, **options}), GOLDENS[f"mindcv/{name}"], rtol=1e-12, atol=tolerance
    )


def test_every_golden_is_compared():
    others = {"timm/cosine_cycles", "timm/plateau", "timm/plateau_warmup"}
    assert set(GOLDENS.files) == {*EXACT, *others, *(f"mindcv/{name}" for name in MINDCV)}
