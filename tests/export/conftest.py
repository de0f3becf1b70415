"""Fixtures for exporting."""

from functools import partial

import mindspore as ms
import pytest
import random_weights

from mindcv.runtime import setup_runtime


@pytest.fixture
def random_network():
    """Builds a textbook network with random weights: `random_network("sknet50")`, see `random_weights`."""
    return partial(random_weights.random_network, device_forms=False)


@pytest.fixture
def pynative():
    """Pynative mode, for tests that do not depend on the mode: the network is not compiled."""
    setup_runtime(mode=1, device_target="CPU")
    yield
    ms.set_context(mode=ms.GRAPH_MODE)
