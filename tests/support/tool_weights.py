"""Weights for a network with the names and shapes of other tools, and the comparison after loading."""

import numpy as np

from mindcv.checkpoint import network_weights


def random_weights(network, seed=0):
    """Random values of every parameter's shape, all different."""
    rng = np.random.default_rng(seed)
    return {p.name: rng.standard_normal(p.shape).astype(np.float32) for p in network.get_parameters()}


def foreign(weights, names, pointwise=False):
    """The weights with another tool's names and shapes."""
    renamed = {}
    for own, array in weights.items():
        name = names[own]
        renamed[name] = array[..., None, None] if pointwise and ".se." in name and array.ndim == 2 else array
    return renamed


def assert_same(network, weights, but=()):
    loaded = network_weights(network)
    assert loaded.keys() == weights.keys()
    for name, array in weights.items():
        assert np.array_equal(loaded[name], array) == (name not in but), name
