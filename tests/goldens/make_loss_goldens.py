"""Generates loss_goldens.npz: `python tests/goldens/make_loss_goldens.py` where timm, torchvision and PyTorch are.

The file in the repository was made with timm 1.0.31, torchvision 0.28.0 and PyTorch 2.13.0 on a CPU, in float64. It
holds the inputs, logits (6, 5), indices (6,), soft (6, 5) whose rows sum to 1, hits (6, 5) of zeros and ones and
class_weights (5,); and for each case of tests/loss/test_loss_goldens.py `case/loss` () and `case/gradient` (6, 5).
"""

from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from timm import loss as timm_loss
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

rng = np.random.default_rng(20)
INPUTS = {
    "logits": 3.0 * rng.normal(size=(6, 5)).astype(np.float32),
    "indices": np.array([0, 4, 2, 2, 1, 3], np.int32),
    "soft": rng.dirichlet(np.ones(5), 6).astype(np.float32),
    "hits": rng.integers(0, 2, (6, 5)).astype(np.float32),
    "class_weights": np.array([0.5, 1.0, 2.0, 3.0, 1.5], np.float32),
}
indices = torch.from_numpy(INPUTS["indices"]).long()
soft, hits, weights = (torch.from_numpy(INPUTS[key]).double() for key in ("soft", "hits", "class_weights"))
one_hot = functional.one_hot(indices, 5).double()

CASES = {
    "ce_smoothing": lambda x: timm_loss.LabelSmoothingCrossEntropy(0.1)(x, indices),
    "ce_soft": lambda x: timm_loss.SoftTargetCrossEntropy()(x, soft),
    "ce_weights": lambda x: functional.cross_entropy(x, indices, weights, label_smoothing=0.2),
    "ce_weights_sum": lambda x: functional.cross_entropy(x, soft, weights, reduction="sum", label_smoothing=0.2),
    "bce": lambda x: timm_loss.BinaryCrossEntropy(smoothing=0.1)(x, indices),
    "bce_soft": lambda x: timm_loss.BinaryCrossEntropy(smoothing=0.1)(x, soft * 0.9 + 0.1 / 5),
    "bce_threshold": lambda x: timm_loss.BinaryCrossEntropy(target_threshold=0.2)(x, soft),
    "bce_threshold_smoothing": lambda x: timm_loss.BinaryCrossEntropy(0.3, target_threshold=0.05)(x, indices),
    "bce_classes_added": lambda x: timm_loss.BinaryCrossEntropy(smoothing=0.1, sum_classes=True)(x, indices),
    "bce_weights": lambda x: timm_loss.BinaryCrossEntropy(smoothing=0.0, weight=weights)(x, hits),
    "bce_sum": lambda x: timm_loss.BinaryCrossEntropy(smoothing=0.0, reduction="sum")(x, hits),
    "jsd": lambda x: timm_loss.JsdCrossEntropy(num_splits=3, smoothing=0.1)(x, indices),
    "jsd_two": lambda x: timm_loss.JsdCrossEntropy(num_splits=2, smoothing=0.0)(x, indices),
    "asl_single": lambda x: timm_loss.AsymmetricLossSingleLabel(eps=0.1)(x, indices),
    "asl_single_powers": lambda x: timm_loss.AsymmetricLossSingleLabel(2, 3, eps=0.0)(x, indices),
    "asl_multi": lambda x: timm_loss.AsymmetricLossMultiLabel()(x, hits),
    "asl_multi_no_clip": lambda x: timm_loss.AsymmetricLossMultiLabel(gamma_neg=2, gamma_pos=0, clip=0)(x, hits),
    "focal": lambda x: sigmoid_focal_loss(x, one_hot, reduction="mean"),
    "focal_no_alpha": lambda x: sigmoid_focal_loss(x, hits, alpha=-1, gamma=1.5, reduction="sum"),
}

arrays = dict(INPUTS)
for name, criterion in CASES.items():
    logits = torch.from_numpy(INPUTS["logits"]).double().requires_grad_()
    loss = criterion(logits)
    loss.backward()
    arrays[f"{name}/loss"], arrays[f"{name}/gradient"] = loss.detach().numpy(), logits.grad.numpy()
    print(f"{name}: {loss:.6f}")
np.savez_compressed(Path(__file__).with_name("loss_goldens.npz"), **arrays)
print(f"timm {timm.__version__}, torchvision {torchvision.__version__}, PyTorch {torch.__version__}")
