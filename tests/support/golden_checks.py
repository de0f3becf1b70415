"""Comparisons with the goldens: logits, and norms and projections of gradients and statistics.

Tolerances are relative to the largest golden logit, and for a gradient or statistic to its norm. PyTorch's own float32
errors are given in models/test_goldens.py.
"""

import mindspore as ms
import numpy as np
from goldens import recipe
from mindspore import nn

from mindcv.loss import create_loss

LOGITS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 2e-2
STATISTICS_TOLERANCE = 1e-5


def assert_logits_equal(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=LOGITS_TOLERANCE * np.abs(expected).max())


def assert_projections_equal(pairs, expected, tolerance):
    """Compare norm and projection of arrays, both relative to the golden norm; names the worst."""
    assert len(pairs) == len(expected)
    actual = np.array([recipe.norm_and_projection(name, array) for name, array in pairs])
    errors = np.abs(actual - expected).max(axis=1) / expected[:, 0]
    worst = int(errors.argmax())
    assert errors[worst] < tolerance, f"{pairs[worst][0]}: {errors[worst]:.1e}"


class TrainingPass(nn.Cell):
    """(images, labels) -> ((loss, logits), gradients); a Cell, because its graph is freed with it."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network, self.criterion = network, create_loss("CE")
        parameters = ms.ParameterTuple(network.trainable_params())
        self.gradient = ms.value_and_grad(self.loss_and_logits, None, parameters, has_aux=True)

    def loss_and_logits(self, images, labels):
        logits = self.network(images)
        return self.criterion(logits, labels), logits

    def construct(self, images, labels):
        return self.gradient(images, labels)
