"""Generates torchvision_goldens.npz from torchvision's ShuffleNetV2.

`python tests/goldens/make_torchvision_goldens.py`, in an environment with torchvision and PyTorch.

The file in the repository was made with torchvision 0.28.0 and PyTorch 2.13.0 on a CPU, in float64 from the float32
weights and images of recipe.py. For each of `recipe.SHUFFLENETS` it holds, as `model/quantity`, what make_goldens.py
explains: evaluation_logits and parameters; of the shallow one also training_logits, training_loss, and gradients and
statistics of all parameters and buffers (but for `recipe.WITHOUT_GRADIENT`), in the order of their sorted names.
"""

from pathlib import Path

import numpy as np
import recipe
import torch
from torchvision.models.shufflenetv2 import ShuffleNetV2


def build(name: str, num_classes: int = recipe.NUM_CLASSES) -> ShuffleNetV2:
    channels, layers = recipe.SHUFFLENETS[name]
    return ShuffleNetV2(list(layers), list(channels), num_classes=num_classes)


def projections(pairs: list[tuple[str, torch.Tensor]]) -> np.ndarray:
    return np.array(
        [recipe.norm_and_projection(key, array.numpy()) for key, array in sorted(pairs, key=lambda p: p[0])]
    )


def observe(name: str) -> dict[str, np.ndarray]:
    model = build(name)
    for key, tensor in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(recipe.weight(key, tuple(tensor.shape))))
    model = model.double()
    images = torch.from_numpy(recipe.images(name)).double()
    with torch.no_grad():
        found = {"evaluation_logits": model.eval()(images).numpy()}
    if not name.startswith(recipe.shallow("")):
        return found
    logits = model.train()(images)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(recipe.labels()).long())
    loss.backward()
    found["training_logits"] = logits.detach().numpy()
    found["training_loss"] = loss.detach().numpy()
    found["gradients"] = projections(
        [(key, p.grad) for key, p in model.named_parameters() if not recipe.WITHOUT_GRADIENT.match(key)]
    )
    found["statistics"] = projections([(key, b) for key, b in model.named_buffers() if "running" in key])
    return found


def main() -> None:
    goldens = {}
    for name in recipe.SHUFFLENETS:
        found = observe(name)
        print(f"{name}: logits up to {np.abs(found['evaluation_logits']).max():.1f}")
        goldens |= {f"{name}/{quantity}": value.astype(np.float32) for quantity, value in found.items()}
        goldens[f"{name}/parameters"] = np.int64(sum(p.numel() for p in build(name, 1000).parameters()))
    np.savez_compressed(Path(__file__).parent / "torchvision_goldens.npz", **goldens)


if __name__ == "__main__":
    main()
