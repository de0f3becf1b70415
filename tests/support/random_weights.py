"""Networks with random parameters and statistics: the initial 0 and 1 of a new network hide errors.

Scales of batch norm lie around a half. Around one, the features of a deep network grow from block to block until
rounding shows: with logits of 700, skresnet34 turned a change of 1e-7 in its images into 5e-5 in its logits.
"""

import numpy as np
from mindspore import Tensor

from mindcv.models import create_model, without_initial_weights


def random_network(name, **options):
    """A network in evaluation mode; the same name and options give the same weights at each call."""
    with without_initial_weights():
        return randomize(create_model(name, **{"num_classes": 10, **options}))


def randomize(network, seed=3):
    rng = np.random.default_rng(seed)
    for parameter in network.get_parameters():
        if parameter.name.endswith("moving_variance"):
            values = rng.uniform(0.5, 1.5, parameter.shape)
        elif parameter.ndim == 1:
            values = rng.normal(0.5 if parameter.name.endswith("gamma") else 0.0, 0.2, parameter.shape)
        else:
            values = rng.standard_normal(parameter.shape) * np.sqrt(2 / np.prod(parameter.shape[1:]))
        parameter.set_data(Tensor(values.astype(np.float32)))
    return network.set_train(False)
