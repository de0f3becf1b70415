"""Generates goldens.npz from timm: `python tests/goldens/make_goldens.py` in an environment with timm and PyTorch.

The file in the repository was made with timm 1.0.31 and PyTorch 2.14.1 on a CPU (the shallow networks, seresnet18,
seresnet34, seresnext26_32x4d, resnext101_64x4d and resnext152_64x4d: 2.13.0).
Everything is computed in float64 from the float32 weights and images of recipe.py, so that a difference is the error of
the tested network, not of PyTorch. For each model, and for a shallow one of each kind of block (`recipe.KINDS`), the
file holds, as `model/quantity`:

- evaluation_logits (4, 10), and evaluation_features (5, 2): mean and standard deviation of the stem's and each
  stage's output;
- training_logits (4, 10) and training_loss (): with batch statistics, mean cross-entropy against `recipe.labels()`;
- gradients (P, 2): norm and projection of the loss's gradient for each parameter that `recipe.is_kept` names, in the
  order of their sorted names;
- parameters (): the number of trainable ones with 1000 classes, an integer;
- statistics (S, 2): the same of running_mean and running_var after that one training step's forward.

Prints the error of PyTorch's own float32 for each model, the reference for the tests' tolerances.
"""

import numpy as np
import recipe
import timm
import torch
from timm.models.resnet import ResNet
from timm.models.sknet import SelectiveKernelBottleneck


def build(name: str, num_classes: int = recipe.NUM_CLASSES) -> torch.nn.Module:
    if name in map(recipe.shallow, recipe.KINDS):
        kind = name.removeprefix(recipe.shallow(""))
        return timm.create_model(kind, num_classes=num_classes, layers=recipe.SHALLOW)
    if name in recipe.TIMM_MODELS:
        return timm.create_model(name, num_classes=num_classes)
    if name in recipe.AT_OTHER_DEPTH:
        kind, layers = recipe.AT_OTHER_DEPTH[name]
        return timm.create_model(kind, num_classes=num_classes, layers=layers)
    return ResNet(
        SelectiveKernelBottleneck,
        recipe.OF_TIMMS_BLOCKS[name],
        num_classes=num_classes,
        cardinality=32,
        base_width=4,
        block_args={"sk_kwargs": {"rd_ratio": 1 / 16, "rd_divisor": 32, "split_input": False}},
    )


def fill(model: torch.nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(recipe.weight(name, tuple(tensor.shape))))


def observe(name: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    model = build(name)
    fill(model)
    model = model.to(dtype)
    images = torch.from_numpy(recipe.images(name)).to(dtype)
    found = {}

    model.eval()
    with torch.no_grad():
        found["evaluation_logits"] = model(images).numpy()
        features = model.forward_intermediates(images, intermediates_only=True)
    found["evaluation_features"] = np.array([recipe.mean_and_std(feature.numpy()) for feature in features])

    model.train()
    logits = model(images)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(recipe.labels()).long())
    loss.backward()
    found["training_logits"] = logits.detach().numpy()
    found["training_loss"] = loss.detach().numpy()
    parameters = sorted((key, p) for key, p in model.named_parameters() if recipe.is_kept(name, key))
    found["gradients"] = np.array([recipe.norm_and_projection(key, p.grad.numpy()) for key, p in parameters])
    buffers = sorted((key, b) for key, b in model.named_buffers() if recipe.is_kept(name, key) and "running" in key)
    found["statistics"] = np.array([recipe.norm_and_projection(key, b.numpy()) for key, b in buffers])
    return found


def report(name: str, exact: dict[str, np.ndarray], single: dict[str, np.ndarray]) -> None:
    errors = []
    for quantity, value in exact.items():
        difference = np.abs(single[quantity] - value)
        scale = value[:, :1] if quantity in ("gradients", "statistics") else np.abs(value).max()
        errors.append(f"{quantity} {np.max(difference / scale):.1e}")
    print(f"{name}: float32 error {', '.join(errors)}; logits up to {np.abs(exact['evaluation_logits']).max():.1f}")


def main() -> None:
    goldens = {}
    models = [*recipe.TIMM_MODELS, *recipe.OF_TIMMS_BLOCKS, *recipe.AT_OTHER_DEPTH]
    for name in [*models, *map(recipe.shallow, recipe.KINDS)]:
        exact = observe(name, torch.float64)
        report(name, exact, observe(name, torch.float32))
        goldens |= {f"{name}/{quantity}": value.astype(np.float32) for quantity, value in exact.items()}
        goldens[f"{name}/parameters"] = np.int64(sum(p.numel() for p in build(name, 1000).parameters()))
    np.savez_compressed(recipe.GOLDENS, **goldens)


if __name__ == "__main__":
    main()
