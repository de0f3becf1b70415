"""Fixtures for all tests: the execution mode and a tiny network."""

import mindcv  # noqa: F401  (first: it sets what MindSpore reads when it is imported)

# isort: split
import gc
import os
import signal
import tempfile

import mindspore as ms
import pytest
import tiny
from fixtures_data import write_image_folder
from resumed_runs import quick_run
from weight_lines import SIZE

import train
from mindcv import runtime
from mindcv.engine import SentSteps
from mindcv.models import create_model
from mindcv.runtime import setup_runtime

gc.freeze()  # the modules' objects: each test that collects garbage would go through them, 0.3 s
# Before the first operator: later it has no effect, and a training in Pynative mode takes twice as long.
ms.set_device("CPU")
ms.runtime.launch_blocking()
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores, and MindSpore's threads spin while they wait for each other.
    ms.device_context.cpu.op_tuning.threads_num(1)
    runtime._make_way_for_kernels = lambda: None  # the other workers would take the cores

# Use no folder of the user: compiled networks are neither read from there nor left there.
_cache = tempfile.TemporaryDirectory(prefix="mindcv-tests-")
os.environ["MINDCV_CACHE"] = _cache.name

MODES = {"graph": 0, "pynative": 1}


@pytest.fixture(params=list(MODES))
def mode(request):
    """Run the test once in Graph and once in Pynative mode; Cells must be built inside the test."""
    setup_runtime(mode=MODES[request.param], device_target="CPU")
    yield request.param
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def pynative():
    """Pynative mode, for tests that do not depend on the mode: no compilation."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def tiny_model():
    """The name of a network that trains in seconds, registered for this test."""
    tiny.register()
    yield tiny.NAME
    tiny.unregister()


@pytest.fixture
def tiny_network(tiny_model):
    """Builds fresh tiny networks with the same weights each time: `tiny_network(num_classes=3)`."""

    def build(**options):
        ms.set_seed(7)
        return create_model(tiny_model, **{"num_classes": 10, **options})

    return build


@pytest.fixture
def recipe(tmp_path):
    """Writes a YAML file and returns its path."""

    def write(text, name="recipe.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def interrupt(monkeypatch):
    """`interrupt(n, signum)` sends this process a signal at the n-th training step from now on."""

    def arrange(step, signum=signal.SIGTERM):
        left = [step]

        def counted(sent):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signum)
            return send(sent)

        send = SentSteps.send
        monkeypatch.setattr(SentSteps, "send", counted)

    return arrange


@pytest.fixture
def stopped(tmp_path, tiny_model, interrupt, capsys):
    """A run that was interrupted inside its first epoch."""
    interrupt(2)
    train.main(quick_run(tmp_path / "out"))
    capsys.readouterr()
    return tmp_path / "out"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of six small photographs."""
    folder = tmp_path_factory.mktemp("photos")
    write_image_folder(folder, "all", 3, 2, "jpg", size=SIZE)
    return folder
