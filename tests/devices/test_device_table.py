"""The table of operators in docs/devices.md is MindSpore's documentation, and complete; so are the versions there."""

import re

import device_table
import pytest

from mindcv.devices.libraries import CUDA_LIBRARIES
from mindcv.models import set_precision


@pytest.fixture(scope="module")
def table():
    rows = device_table.written()
    assert device_table.as_markdown(rows) in device_table.PAGE.read_text(encoding="utf-8")
    return rows


def test_devices_are_those_of_mindspores_documentation(table):
    assert {name: row.platforms for name, row in table.items()} == {n: device_table.platforms_of(n) for n in table}
    of_one = {"on a CPU: ": set(), "on a GPU: ": {"GPU"}}  # a CPU's need no documentation: they run here
    for name, row in table.items():
        needed = next((of_one[only] for only in of_one if row.users.startswith(only)), {*device_table.PLATFORMS})
        assert needed <= row.platforms, name


@pytest.mark.parametrize("mode", ["graph"], indirect=True)
def test_every_operator_of_a_network_in_mixed_precision_is_listed(mode, table):
    network = device_table.small_network("skresnet18", device_forms=False)
    set_precision(network, "O2", "O2", "float16")
    found = device_table.of_network(network)
    assert {"Conv2D", "Conv2DBackpropFilter", "Cast"} <= found <= table.keys()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph"], indirect=True)
def test_the_whole_table_is_up_to_date(mode, table):
    assert device_table.collect() == table


def test_the_page_installs_the_libraries_that_the_check_asks_for():
    page = device_table.PAGE.read_text(encoding="utf-8")
    assert {*re.findall(r"nvidia-[\w-]+==[\w.]+", page)} == {*CUDA_LIBRARIES.values()}
