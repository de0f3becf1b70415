"""Compilation time is shown and excluded from rates."""

import time

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv import console
from mindcv.engine import compiling
from mindcv.engine.compiling import clock, compiling_shown
from mindcv.runtime import setup_runtime


@pytest.fixture
def shown(monkeypatch):
    """The texts passed to `console.status`."""
    texts = []
    monkeypatch.setattr(console, "status", texts.append)
    monkeypatch.setattr(compiling, "_TICK_SECONDS", 0.01)
    monkeypatch.setattr(compiling, "_SHOW_AFTER_SECONDS", 0.05)
    return texts


def compile_slowly(monkeypatch, seconds=0.3):
    plain = nn.Cell.compile
    monkeypatch.setattr(nn.Cell, "compile", lambda cell, *inputs: (time.sleep(seconds), plain(cell, *inputs))[1])


def test_the_clock_stops_while_a_network_is_compiled(monkeypatch, shown):
    setup_runtime(device_target="CPU")
    compile_slowly(monkeypatch)
    network, images = nn.Dense(3, 2), Tensor(np.ones((4, 3), np.float32))
    with compiling_shown(kept=True):
        begin, wall = clock(), time.perf_counter()
        network(images)
        assert clock() - begin < time.perf_counter() - wall - 0.3
    assert shown[0].startswith("compiling the network, usually") and "kept for the next start" in shown[0]
    assert shown[-1] == ""


def test_without_a_terminal_compiling_is_printed_once(monkeypatch, shown, capsys):
    setup_runtime(device_target="CPU")
    compile_slowly(monkeypatch)
    with compiling_shown(kept=False):
        for size in (1, 2):
            nn.Dense(3, 2)(Tensor(np.ones((size, 3), np.float32)))
    assert capsys.readouterr().out == f"compiling the network, {compiling.USUAL}\n"


def test_a_graph_from_the_cache_is_shown_as_loading(monkeypatch, shown):
    setup_runtime(device_target="CPU")
    plain = nn.Cell.compile

    def load(cell, *inputs):
        compiling.loading_compiled_network()
        time.sleep(0.3)
        return plain(cell, *inputs)

    monkeypatch.setattr(nn.Cell, "compile", load)
    with compiling_shown(kept=True):
        nn.Dense(3, 2)(Tensor(np.ones((1, 3), np.float32)))
    assert {text.partition(":")[0] for text in shown} == {"loading the compiled network", ""}


def test_mindspores_compile_is_restored_after_an_error():
    plain = nn.Cell.compile
    with pytest.raises(KeyError), compiling_shown(kept=True):
        raise KeyError
    assert nn.Cell.compile is plain
