"""Weights for a network, as other tools would name and shape them, and what a network got of them."""

import numpy as np

from mindcv.checkpoint import network_weights


def random_weights(network, seed=0):
    """Fresh values of every parameter's shape, none of them equal."""
    rng = np.random.default_rng(seed)
    return {p.name: rng.standard_normal(p.shape).astype(np.float32) for p in network.get_parameters()}


def foreign(weights, names, pointwise=False):
    """The weights under another tool's names, as that tool shapes them."""
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
