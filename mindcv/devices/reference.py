"""A training step of a small network in NumPy, in float64: what a device must compute up to its rounding.

The network: a 3x3 convolution, batch norm, ReLU, a grouped 3x3 convolution, the mean over all positions, a dense layer,
cross-entropy. Gradients are exact derivatives by complex steps (Squire and Trapp 1998): the imaginary part of
f(w + ih) / h, where h is so small that nothing cancels.
"""

from collections.abc import Mapping

import numpy as np

GROUPS = 2
EPS = 1e-5  # of the batch norm
_STEP = 1e-30

Arrays = Mapping[str, np.ndarray]


def example(seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Weights, images (4, 3, 8, 8) float32 and labels (4,) int32."""
    rng = np.random.default_rng(seed)
    shapes = {
        "conv.weight": (8, 3, 3, 3),
        "norm.gamma": (8,),
        "norm.beta": (8,),
        "grouped.weight": (8, 8 // GROUPS, 3, 3),
        "classifier.weight": (5, 8),
        "classifier.bias": (5,),
    }
    weights = {name: 0.5 * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return weights, rng.standard_normal((4, 3, 8, 8)).astype(np.float32), np.array([0, 2, 4, 1], np.int32)


def loss(weights: Arrays, images: np.ndarray, labels: np.ndarray) -> np.complexfloating:
    """The mean cross-entropy of a batch, in training; an analytic function of the weights."""
    x = _convolve(images, weights["conv.weight"], 1)
    x = x - x.mean((0, 2, 3), keepdims=True)
    x = x / np.sqrt((x * x).mean((0, 2, 3), keepdims=True) + EPS)
    x = x * weights["norm.gamma"].reshape(1, -1, 1, 1) + weights["norm.beta"].reshape(1, -1, 1, 1)
    x = _convolve(np.where(x.real > 0, x, 0), weights["grouped.weight"], GROUPS).mean((2, 3))
    logits = x @ weights["classifier.weight"].T + weights["classifier.bias"]
    return (np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]).mean()


def loss_and_gradients(weights: Arrays, images: np.ndarray, labels: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """The loss, and its derivative with respect to each weight."""
    exact = {name: array.astype(np.complex128) for name, array in weights.items()}
    gradients = {}
    for name, array in exact.items():
        gradients[name] = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            array[index] += 1j * _STEP
            gradients[name][index] = loss(exact, images, labels).imag / _STEP
            array[index] = array[index].real
    return float(loss(exact, images, labels).real), gradients


def _convolve(x: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    """Correlation 3x3 with zero padding: (B, C_in, H, W), weight (C, C_in / groups, 3, 3) -> (B, C, H, W)."""
    (height, width), padded = x.shape[2:], np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    parts = [
        np.sum(
            [
                np.einsum("bchw,oc->bohw", part[:, :, i : i + height, j : j + width], kernel[:, :, i, j])
                for i, j in np.ndindex(3, 3)
            ],
            axis=0,
        )
        for part, kernel in zip(np.split(padded, groups, axis=1), np.split(weight, groups), strict=True)
    ]
    return np.concatenate(parts, axis=1)
