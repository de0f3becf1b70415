"""Generates optim_goldens.npz from PyTorch and timm: `python tests/goldens/make_optim_goldens.py` in an environment
with both.

The file in the repository was made with timm 1.0.31 and PyTorch 2.13.0 on a CPU, in float64. For each optimizer of
`optim_recipe.OPTIONS` it holds, under its name, all parameters one after the other (23,) after each of the updates
`optim_recipe.KEPT`.

Prints the error of PyTorch's own float32, the reference for the tests' tolerance.
"""

import numpy as np
import optim_recipe as recipe
import timm.optim
import torch
from torch import optim

NAMES = {"rmsprop_rho": "alpha"}
# Our name -> the peer's optimizer, and the arguments that make it the same.
PEERS = {
    "sgd": (optim.SGD, {}),
    "momentum": (optim.SGD, {"momentum": 0.9}),
    "nesterov": (optim.SGD, {"nesterov": True}),
    "adam": (optim.Adam, {}),
    "adamw": (optim.AdamW, {}),
    "nadam": (optim.NAdam, {}),
    "rmsprop": (timm.optim.RMSpropTF, {"alpha": 0.9, "momentum": 0.9}),
    "rmsproptf": (timm.optim.RMSpropTF, {"eps": 1e-10}),
    "rmsprop_torch": (optim.RMSprop, {"alpha": 0.9, "momentum": 0.9}),
    "adagrad": (optim.Adagrad, {"initial_accumulator_value": 0.1, "eps": 0.0}),
    "lamb": (timm.optim.Lamb, {"max_grad_norm": None}),
    "lars": (timm.optim.Lars, {"momentum": 0.9}),
    "lion": (timm.optim.Lion, {}),
    "adan": (timm.optim.Adan, {}),
}


def run(name: str, dtype: torch.dtype) -> np.ndarray:
    """The parameters after the updates that are kept, (updates, 23)."""
    params = [torch.nn.Parameter(torch.from_numpy(value).to(dtype)) for value in recipe.start()]
    kind, arguments = PEERS[name]
    arguments = {**arguments, **{NAMES.get(key, key): value for key, value in recipe.OPTIONS[name].items()}}
    groups = [{"params": [p], "weight_decay": decay} for p, decay in zip(params, recipe.DECAYS, strict=True)]
    optimizer = kind(groups, lr=0.1, **arguments)
    kept = []
    for update, gradients in enumerate(recipe.gradients()):
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = torch.from_numpy(gradient).to(dtype)
        for group, scale in zip(optimizer.param_groups, recipe.SCALES, strict=True):
            group["lr"] = recipe.RATES[update] * scale
        optimizer.step()
        if update in recipe.KEPT:
            kept.append(np.concatenate([param.detach().numpy().reshape(-1) for param in params]))
    return np.array(kept)


def main() -> None:
    goldens = {}
    for name in recipe.OPTIONS:
        exact, single = run(name, torch.float64), run(name, torch.float32)
        error = np.abs(exact - single).max()
        print(f"{name}: float32 error {error:.1e}, parameters up to {np.abs(exact).max():.1f}")
        goldens[name] = exact
    np.savez_compressed(recipe.GOLDENS, **goldens)


if __name__ == "__main__":
    main()
