"""Starting the processes of a training, here small programs without MindSpore."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mindcv.launch import launch

ROOT = Path(__file__).parents[2]
# Each process: `rank` is None in the one that only brings the others together.
HEAD = """
import os, signal, sys, time
from pathlib import Path
role = os.environ["MS_ROLE"]
rank = int(os.environ["MS_NODE_ID"]) if role == "MS_WORKER" else None
size = int(os.environ["MS_WORKER_NUM"])
signal.alarm(60)  # also if its test fails
"""
LAUNCHES = """
import sys
from mindcv import launch
launch._GRACE_SECONDS = 1.0
sys.exit(launch.launch(3, [sys.executable, sys.argv[1]]))
"""


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch):
    monkeypatch.setattr("mindcv.launch._GRACE_SECONDS", 1.0)


@pytest.fixture
def program(tmp_path):
    """Text -> the command of a program with the text after HEAD, in `tmp_path`."""

    def write(text):
        path = tmp_path / "program.py"
        path.write_text(f"{HEAD}os.chdir({str(tmp_path)!r})\n{textwrap.dedent(text)}")
        return [sys.executable, str(path)]

    return write


@pytest.fixture
def started(tmp_path):
    """Command -> the process that has launched it three times; what it writes to stderr is in the file `err`."""
    processes = []

    def start(command):
        with (tmp_path / "err").open("w") as err:
            line = [sys.executable, "-c", LAUNCHES, command[-1]]
            processes.append(subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=err))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "too late"
        time.sleep(0.02)


def pids_in(folder):
    """The numbers that the processes have written, when all four have."""
    wait_until(lambda: len(list(folder.glob("* is *"))) == 4)
    return [int(path.name.split()[-1]) for path in folder.glob("* is *")]


def state_of(pid):
    """As in ps: T is suspended, Z has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def is_alive(pid):
    return state_of(pid) != "Z"


def test_every_process_gets_its_number_and_only_the_first_the_terminal(program, tmp_path, capfd):
    code = launch(
        3,
        program(
            """
            if rank is None:
                time.sleep(60)
            Path(f"{rank} of {size}").write_text(os.environ["MS_SCHED_HOST"] + ":" + os.environ["MS_SCHED_PORT"])
            print("out of", rank)
            print("error of", rank, file=sys.stderr)
            """
        ),
    )
    assert code == 0
    meeting = {(tmp_path / f"{rank} of 3").read_text() for rank in range(3)}
    assert len(meeting) == 1 and meeting.pop().startswith("127.0.0.1:")
    out, err = capfd.readouterr()
    assert (out, err) == ("out of 0\n", "error of 0\n")


@pytest.mark.parametrize(
    ("death", "code", "said"),
    [
        ("print('the reason', file=sys.stderr); sys.exit(2)", 2, "ended with exit code 2; the others were ended"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "was ended by SIGKILL; the others were ended"),
    ],
    ids=["error", "killed"],
)
def test_the_failure_of_another_process_is_shown_and_ends_the_rest(program, capfd, death, code, said):
    began = time.monotonic()
    assert launch(3, program(f"if rank == 2:\n    {death}\ntime.sleep(60)")) == code
    assert time.monotonic() - began < 30
    err = capfd.readouterr().err
    assert f"error: process 2 of 0 to 2 {said}" in err
    assert ("the reason" in err) == (code == 2)


def test_the_death_of_the_first_process_is_told(program, capfd):
    assert launch(2, program("if rank == 0: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)")) == 137
    assert capfd.readouterr().err == "error: process 0 of 0 to 1 was ended by SIGKILL; the others were ended\n"


def test_what_another_process_printed_is_shown_with_its_failure(program, capfd):
    assert launch(2, program("if rank == 1: print('a line'); sys.exit(3)")) == 3
    assert capfd.readouterr().err == (
        "error: process 1 of 0 to 1 ended with exit code 3; the others were ended\na line\n"
    )


def test_an_error_of_all_is_shown_once(program, capfd):
    assert launch(3, program("print('error: the same', file=sys.stderr); sys.exit(2 if rank is not None else 0)")) == 2
    assert capfd.readouterr().err == "error: the same\n"


def test_an_error_of_the_first_alone_ends_the_rest(program, capfd):
    assert launch(2, program("if rank == 0: sys.exit('no space left')\ntime.sleep(60)")) == 1
    assert capfd.readouterr().err == "no space left\n"


def test_the_end_of_the_process_that_keeps_them_together_is_an_error(program):
    with pytest.raises(OSError, match="MindSpore's scheduler, which keeps the processes together, has ended"):
        launch(2, program("if rank is None: sys.exit(1)\ntime.sleep(60)"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_reaches_all_and_the_second_ends_all(program, started, tmp_path, signum):
    command = program(
        """
        def note(signum, frame):
            Path(f"{rank} got {signum}").touch()
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, note)
        Path(f"{rank} is {os.getpid()}").touch()
        while True:
            time.sleep(0.1)
        """
    )
    process = started(command)
    pids = pids_in(tmp_path)
    process.send_signal(signum)
    wait_until(lambda: len(list(tmp_path.glob(f"[012] got {int(signum)}"))) == 3)
    time.sleep(0.2)  # a second one within a tenth of a second is the same request
    assert all(map(is_alive, pids)) and process.poll() is None
    process.send_signal(signum)
    assert process.wait(20) == 128 + signum
    assert not any(map(is_alive, pids))


def test_processes_that_end_themselves_after_a_signal_give_its_exit_code(program, started, tmp_path):
    command = program(
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        Path(f"{rank} waits").touch()
        time.sleep(60)
        """
    )
    process = started(command)
    wait_until(lambda: len(list(tmp_path.glob("[012] waits"))) == 3)
    process.terminate()
    assert process.wait(20) == 143 and not (tmp_path / "err").read_text()


def test_the_meeting_point_may_end_well_before_the_others(program):
    assert launch(2, program("time.sleep(0.0 if rank is None else 0.5)")) == 0


def test_a_signal_before_all_can_handle_it_ends_all_soon(program, started, tmp_path):
    """As during start-up: some end at once, the others would wait for them."""
    command = program(
        """
        if rank == 0:
            signal.signal(signal.SIGTERM, lambda *_: None)
        Path(f"{rank} is {os.getpid()}").touch()
        time.sleep(60)
        """
    )
    process = started(command)
    pids_in(tmp_path)
    process.terminate()
    assert process.wait(20) == 143
    expected = "SIGTERM: ended at once; --resume continues from the last checkpoint, if there is one\n"
    assert (tmp_path / "err").read_text() == expected


def test_all_are_suspended_and_continued_with_the_launcher(program, started, tmp_path):
    command = program(
        """
        Path(f"{rank} is {os.getpid()}").touch()
        while not Path("end").exists():
            time.sleep(0.05)
        """
    )
    process = started(command)
    pids = pids_in(tmp_path)
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: {state_of(pid) for pid in (process.pid, *pids)} == {"T"})
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: "T" not in {state_of(pid) for pid in (process.pid, *pids)})
    (tmp_path / "end").touch()
    assert process.wait(20) == 0


def test_the_processes_end_with_a_launcher_that_is_killed(program, started, tmp_path):
    command = program(
        f"""
        sys.path.insert(0, {str(ROOT)!r})
        from mindcv.launch import prepare_process
        prepare_process()
        Path(f"{{rank}} is {{os.getpid()}}").touch()
        time.sleep(60)
        """
    )
    process = started(command)
    pids = pids_in(tmp_path)
    assert all(map(is_alive, pids))
    process.kill()
    wait_until(lambda: not any(map(is_alive, pids)))
