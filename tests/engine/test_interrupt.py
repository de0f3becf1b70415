"""The first signal lets the step finish and the second ends the process, also inside MindSpore."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from mindcv.engine import interrupt
from mindcv.engine.interrupt import SIGNALS, Interruption

ROOT = Path(__file__).parent.parent.parent
# The module alone: `import mindcv.engine` imports MindSpore, which takes seconds per process.
LOAD = f"""
import hashlib, importlib.util, os, signal, sys, time
spec = importlib.util.spec_from_file_location("interrupt", {str(ROOT / "mindcv/engine/interrupt.py")!r})
interrupt = importlib.util.module_from_spec(spec)
spec.loader.exec_module(interrupt)
"""
LONG_C_CALL = "hashlib.pbkdf2_hmac('sha256', b'', b'', 2 * 10**9)"  # half an hour without Python code
SENTENCE = "finishing the current step, then saving; another signal ends the process at once"

SETUP = f"""
import select, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests/support")!r}]
import mindcv
from itertools import count
from mindspore import Tensor
import tiny
from mindcv.data import Loader, create_dataset, create_transforms
from mindcv.engine import TrainStep
from mindcv.engine.interrupt import Interruption
from mindcv.loss import create_loss
from mindcv.models import create_model
from mindcv.optim import create_optimizer
from mindcv.runtime import setup_runtime

tiny.register()
setup_runtime(mode=int(sys.argv[1]), device_target="CPU")
network = create_model(tiny.NAME, num_classes=10)
step = TrainStep(network, create_loss(), create_optimizer(network, lr=0.01))
step.set_train(True)
digits = create_dataset("digits")
transforms = create_transforms(is_training=True, image_resize=64, encoded=False, channels=1)
"""

TRAIN = (
    SETUP
    + """
def run(name, batch_size, first):
    loader = Loader(digits, transforms, is_training=True, batch_size=batch_size, num_parallel_workers=1)
    with Interruption(computes_here=sys.argv[1] == "1") as interruption:
        for index, (images, labels) in enumerate(batch for epoch in count() for batch in loader.epoch(epoch)):
            if index == first:
                print(name, flush=True)
            loss, *_ = step(Tensor(images), Tensor(labels))
            loss.asnumpy()
            if interruption.signum and name != "twice":
                break
    print("left with", interruption.signum, flush=True)

run("step", 32, first=2)
run("compile", 24, first=0)
run("step", 24, first=1)
run("compile", 16, first=0)
run("twice", 16, first=1)
"""
)

STORM = (
    SETUP
    + """
from mindcv.engine import interrupt
interrupt.SAME_REQUEST_SECONDS = float("inf")  # any number of signals is one request
images, labels = next(iter(Loader(digits, transforms, is_training=True, batch_size=16).epoch(0)))
with Interruption(computes_here=sys.argv[1] == "1"):
    step(Tensor(images), Tensor(labels))
    print("storm", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        step(Tensor(images), Tensor(labels))[0].asnumpy()
print("unharmed", flush=True)
"""
)


def start(code, *arguments, **options):
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(line, **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["graph", "pynative"])
def test_both_signals_work_in_steps_and_compilation_despite_mindspores_handler(number):
    # MindSpore installs its SIGINT handler after compiling: the first signal comes after that.
    with start(TRAIN, number) as process:
        read = process.stdout.readline
        for where, sent in [("step", 2), ("compile", 15), ("step", 15), ("compile", 2)]:
            assert read() == f"{where}\n"
            time.sleep(0.15)
            process.send_signal(sent)
            assert read() == f"{signal.Signals(sent).name}: {SENTENCE}\n"
            assert read() == f"left with {sent}\n"
        assert read() == "twice\n"
        time.sleep(0.15)
        process.send_signal(signal.SIGINT)
        assert read() == f"SIGINT: {SENTENCE}\n"
        time.sleep(0.15)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == ""
        assert process.returncode == 130


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["graph", "pynative"])
def test_many_signals_do_not_corrupt_training(number):
    # A handler on the computing thread corrupts the heap in Pynative mode: without the mask every run crashed.
    with start(STORM, number, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "storm\n"
        for _ in range(300):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.005)
        assert process.communicate("enough\n", timeout=60)[0] == f"SIGTERM: {SENTENCE}\nunharmed\n"
    assert process.returncode == 0


def test_the_signal_mask_is_restored_afterwards_and_in_a_forked_child():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with Interruption(computes_here=True):
        assert set(SIGNALS) <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
        pid = os.fork()
        if pid == 0:
            os._exit(int(signal.pthread_sigmask(signal.SIG_BLOCK, ()) != before))
        assert os.waitpid(pid, 0)[1] == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("signum", SIGNALS)
def test_the_first_signal_raises_nothing_and_is_reported_at_once(signum, capsys):
    with Interruption() as interruption:
        assert interruption.signum is None
        os.kill(os.getpid(), signum)
        wait_for(lambda: interruption.signum)
        assert interruption.signum == signum
    assert capsys.readouterr() == ("", f"{signum.name}: {SENTENCE}\n")


def test_a_signal_at_the_last_moment_is_known_after_the_context(capsys):
    for _ in range(50):
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signum == signal.SIGTERM


def test_earlier_handlers_are_restored():
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    before = [signal.getsignal(signum) for signum in SIGNALS]
    signal.set_wakeup_fd(sender)
    threads = threading.active_count()
    try:
        with Interruption():
            assert [signal.getsignal(signum) for signum in SIGNALS] != before
        assert [signal.getsignal(signum) for signum in SIGNALS] == before
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        assert os.read(receiver, 10) == bytes([signal.SIGINT])
    finally:
        assert signal.set_wakeup_fd(-1) == sender
        signal.signal(signal.SIGINT, inherited)
        os.close(receiver), os.close(sender)
    assert threading.active_count() == threads


@pytest.mark.parametrize("first, second", [(2, 2), (15, 15), (2, 15), (15, 2)])
def test_the_second_signal_ends_the_process_even_inside_a_long_c_call(first, second):
    code = f"{LOAD}\nwith interrupt.Interruption():\n    print('in', flush=True)\n    {LONG_C_CALL}"
    with start(code) as process:
        assert process.stdout.readline() == "in\n"
        process.send_signal(first)
        assert process.stdout.readline() == f"{signal.Signals(first).name}: {SENTENCE}\n"
        time.sleep(0.15)
        begin = time.monotonic()
        process.send_signal(second)
        assert process.wait(timeout=20) == 128 + second
        assert time.monotonic() - begin < 2
        assert process.stdout.read() == ""


def test_a_signal_that_arrives_twice_is_one_request(capsys):
    """`timeout` signals the process and its group."""
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: interruption.signum)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
    assert capsys.readouterr().err.count("SIGTERM") == 1


def test_other_signals_are_unchanged(capsys):
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGUSR1)
            wait_for(lambda: seen)
        assert interruption.signum is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_handler_that_a_library_installs_is_replaced(capsys):
    with Interruption() as interruption:
        ours = interrupt._get_action(signal.SIGINT)
        interrupt._set_action(signal.SIGINT, bytes(interrupt._ACTION_SIZE))  # SIG_DFL: would kill pytest
        wait_for(lambda: interrupt._get_action(signal.SIGINT)[:8] == ours[:8])
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: interruption.signum)


def test_outside_the_main_thread_it_does_nothing():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with Interruption() as interruption:
            seen.extend([interruption.signum, signal.getsignal(signal.SIGINT), threading.active_count()])

    thread = threading.Thread(target=work)
    count = threading.active_count()
    thread.start()
    thread.join()
    assert seen == [None, before, count + 1]


def test_a_forked_childs_signals_are_its_own():
    # Python 3.12 warns of a fork beside other threads, such as the reader.
    code = f"""{LOAD}
import warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
with interrupt.Interruption() as interruption:
    child = os.fork()
    if child == 0:
        time.sleep(60)
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(interruption.signum)
"""
    with start(code) as process:
        assert process.stdout.read() == "-15\nNone\n"


def test_a_closed_stderr_stops_neither_the_first_nor_the_second_signal():
    code = f"{LOAD}\nsys.stderr.close()\nwith interrupt.Interruption():\n    print('in', flush=True)\n    {LONG_C_CALL}"
    with start(code) as process:
        assert process.stdout.readline() == "in\n"
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert process.wait(timeout=20) == 130


def test_on_a_terminal_with_a_progress_bar_the_sentence_has_a_line_of_its_own():
    code = f"""{LOAD}
from tqdm import tqdm
with interrupt.Interruption() as interruption, tqdm(range(10), file=sys.stderr) as bar:
    bar.update(3)
    print("in", flush=True)
    while interruption.signum is None:
        time.sleep(0.01)
    time.sleep(0.1)
"""
    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with start(code, stderr=follower) as process:
        os.close(follower)
        assert process.stdout.readline() == "in\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    screen = os.read(leader, 65536).decode()
    os.close(leader)
    before, _, after = screen.partition(f"SIGINT: {SENTENCE}")
    assert "0/10" in before and before.endswith("\r") and not before.split("\r")[-2].strip()  # its line is cleared
    assert after.startswith("\r\n") and "3/10" in after  # and the bar continues below
