"""Parameters, gradients and groups of the optimizers' goldens: NumPy only, so that PyTorch and the tests use the same.

Every parameter has a learning rate and a weight decay of its own, and the rate changes at every update.
"""

from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parent / "optim_goldens.npz"

SHAPES = {"weight": (3, 4), "gamma": (4,), "alphabeta": (2, 3), "bias": (1,)}  # "beta" in a name must have no effect
SCALES = (0.25, 0.5, 0.5, 4.0)  # of the learning rate: layer_decay=0.5 and head_lr_scale=4
DECAYS = (0.1, 0.0, 0.1, 0.0)  # weight_decay_filter="norm_and_bias"
UPDATES = 20
KEPT = (0, 1, 9, 19)  # the updates after which the goldens hold the parameters
RATES = [0.01 * (1.0 + update % 7) for update in range(UPDATES)]

# Options of `create_optimizer` for each golden, with the arguments' names here.
OPTIONS: dict[str, dict] = {
    "sgd": {"momentum": 0.0},
    "momentum": {},
    "nesterov": {"momentum": 0.8},
    "adam": {"eps": 1e-12},  # PyTorch adds it at another place
    "adamw": {"betas": (0.8, 0.95), "eps": 1e-3},
    "nadam": {},
    "rmsprop": {"eps": 1e-3},  # as in MindCV's recipes
    "rmsproptf": {"momentum": 0.0, "rmsprop_rho": 0.8},
    "rmsprop_torch": {"eps": 1e-3},
    "adagrad": {},
    "lamb": {},
    "lars": {"trust_coeff": 0.1},
    "lion": {},
    "adan": {},
}


def start() -> list[np.ndarray]:
    """The parameters before the first update, float32; one is zero, where LAMB and LARS do not adapt."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES.values()]
    values[2][:] = 0.0
    return values


def gradients() -> list[list[np.ndarray]]:
    """Float32, for each update one for each parameter; one of them is zero."""
    rng = np.random.default_rng(1)
    values = [[rng.normal(size=shape).astype(np.float32) for shape in SHAPES.values()] for _ in range(UPDATES)]
    values[6][0][:] = 0.0
    return values
