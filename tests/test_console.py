"""Printing that cannot fail, progress with and without a terminal, and the commands that messages name."""

import io
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import programs
import pytest
from script_runs import small_run

import train
from mindcv import console
from mindcv.checkpoint import read_checkpoint
from mindcv.distributed import World
from mindcv.script import run_script

ROOT = Path(__file__).parent.parent


def pipe_without_reader():
    read, write = os.pipe()
    os.close(read)
    return open(write, "w")


def full_disk():
    return open("/dev/full", "w")


def exit_code(main, argv):
    with pytest.raises(SystemExit) as caught:
        run_script(main, argv)
    return caught.value.code


@pytest.fixture
def replace(monkeypatch):
    """Replaces sys.stdout or sys.stderr; closing the new one must not fail at the end of the test."""
    opened = []

    def replace(name, stream):
        opened.append(stream)
        monkeypatch.setattr(sys, name, stream)

    yield replace
    for stream in opened:
        stream.close()  # console.finish has discarded the unwritten output


@pytest.mark.parametrize("stream, code, on_terminal", [(pipe_without_reader, 0, False), (full_disk, 2, True)])
def test_a_training_whose_output_fails_saves_every_epoch(
    tmp_path, tiny_model, replace, monkeypatch, stream, code, on_terminal
):
    if on_terminal:  # stderr, which is lost as well
        broken = stream()
        broken.isatty = lambda: True
        replace("stderr", broken)
    replace("stdout", stream())
    assert exit_code(train.main, small_run(tmp_path)) == code
    if on_terminal:
        monkeypatch.undo()
    assert read_checkpoint(tmp_path / "tiny_sknet-last.ckpt").info["epoch"] == 2
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 3


def test_lost_output_is_an_error_after_the_work_is_done(replace, capsys):
    replace("stdout", full_disk())
    assert exit_code(lambda argv: console.say("result"), []) == 2
    assert capsys.readouterr().err == (
        "error: the work was done, but stdout could not be written: No space left on device\n"
    )


def test_help_into_a_closed_pipe_is_not_an_error(replace, capsys):
    replace("stdout", pipe_without_reader())
    assert exit_code(train.main, ["--help"]) == 0
    assert capsys.readouterr().err == ""


def test_a_lost_line_does_not_affect_the_next_script(replace, monkeypatch):
    replace("stdout", full_disk())
    assert exit_code(lambda argv: console.say("lost"), []) == 2
    monkeypatch.undo()
    assert exit_code(lambda argv: console.say("shown"), []) == 0


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_do_not_end_a_script_and_their_descriptors_are_not_reused(tmp_path, closed):
    command = f"{shlex.join(programs.command('write_and_fail', tmp_path / 'file'))} {closed}"
    done = subprocess.run(["sh", "-c", command], env=os.environ | programs.ENVIRONMENT)
    assert done.returncode == 2
    assert (tmp_path / "file").read_text() == "whole"


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def open_terminal(monkeypatch):
    """Makes stderr a terminal; call it inside the test, because pytest replaces stderr before."""

    def replace():
        monkeypatch.setattr(sys, "stderr", stream := Terminal())
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(console, "_REDRAW_SECONDS", 0)
        return stream

    return replace


def test_the_time_left_is_estimated_from_all_units_but_the_first(open_terminal):
    terminal = open_terminal()
    clock = Clock()
    with console.Progress("epoch 1/2", 5, "step", clock=clock, rest=lambda pace: 5 * pace) as progress:
        for seconds in (60, 2, 4):  # a mean of 3 without the first: 2 steps and 5 more are left
            clock.now += seconds
            progress.advance("loss 1")
    assert "3/5, loss 1, 0:21 left" in terminal.getvalue()
    assert "1/5, loss 1" in terminal.getvalue() and "1/5, loss 1," not in terminal.getvalue()


def test_an_expected_pace_gives_the_time_left_from_the_first_unit_on(open_terminal):
    terminal = open_terminal()
    with console.Progress("epoch 2/2", 5, "step", clock=Clock(), pace=2.0) as progress:
        progress.advance()
    assert "1/5, 0:08 left" in terminal.getvalue()


def test_bars_and_the_status_line_fit_their_columns(open_terminal):
    terminal = open_terminal()
    with console.Progress("epoch 300/300", 12345, "step") as progress:
        progress.advance("loss 12.3456, lr 0.00012, 12345 img/s")
        console.status("compiling the network, usually 10 to 60 s, kept for the next start: 9 s")
    console.status("x" * 300)
    lines = [line for part in terminal.getvalue().split("\n") for line in part.split("\r")]
    assert max(map(len, lines)) <= 100 and any("compiling" in line for line in lines)


def test_without_a_terminal_a_line_is_printed_about_once_a_minute(capsys, monkeypatch):
    now = Clock()
    monkeypatch.setattr(console.time, "monotonic", now)
    with console.Progress("validate", 10, "batch", clock=now) as progress:
        for _ in range(10):
            now.now += 25
            progress.advance("2 bad")
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "validate, batch 3 of 10: 2 bad, 2:55 left",
        "validate, batch 6 of 10: 2 bad, 1:40 left",
        "validate, batch 9 of 10: 2 bad, 0:25 left",
    ]
    assert captured.err == ""


def test_an_interval_prints_every_so_many_units(capsys):
    with console.Progress("epoch 1/1", 5, "step", interval=2, clock=Clock()) as progress:
        for _ in range(5):
            progress.advance("loss 1")
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "epoch 1/1, step 2 of 5",
        "epoch 1/1, step 4 of 5",
    ]


def test_nothing_is_shown_if_progress_is_off(capsys, open_terminal):
    terminal = open_terminal()
    with console.Progress("epoch 1/1", 2, "step", interval=1, shown=False) as progress:
        progress.advance("loss 1")
    assert capsys.readouterr().out == terminal.getvalue() == ""


def test_only_the_main_process_prints(capsys, monkeypatch):
    monkeypatch.setattr(console, "_speaks", console._speaks)  # set back after the test
    for rank, expected in ((0, "epoch 1\n"), (1, "")):
        console.speak_for(World(rank, size=2))
        console.say("epoch 1")
        assert capsys.readouterr().out == expected
    console.tell_error("error: no memory")
    assert capsys.readouterr().err == "error: no memory\n"


def test_a_line_is_printed_above_the_bar_of_a_terminal():
    main_end, end = pty.openpty()
    environment = os.environ | programs.ENVIRONMENT
    subprocess.run(programs.command("line_above_a_bar"), stdout=end, stderr=end, env=environment)
    os.close(end)
    shown = os.read(main_end, 65536).decode()
    os.close(main_end)
    for line in ("a line", "an error"):
        before, _, after = shown.partition(f"{line}\r\n")
        assert before.endswith("\r"), "the bar was wiped before the line"
        assert after.lstrip("\r").startswith(("loop", " ")), "the bar is drawn again below it, or wiped at the end"


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00"), (7.4, "0:07"), (754, "12:34"), (12345, "3:25:45"), (185145, "2 d 3:25:45")]
)
def test_durations_are_shown_as_hours_minutes_and_seconds(seconds, text):
    assert console.duration(seconds) == text


def test_a_command_names_the_python_in_use_unless_it_is_first_on_the_path(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert console.command("train.py", "--resume=my runs") == "python train.py '--resume=my runs'"
    monkeypatch.setenv("PATH", "")
    line = console.command("train.py")
    assert line.endswith(" train.py") and not line.startswith("python ")
    assert os.path.samefile(line.split(" ")[0], sys.executable)


def test_a_command_names_the_script_from_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(tmp_path)
    assert console.command("train.py") == f"python {ROOT / 'train.py'}"
    monkeypatch.chdir(ROOT.parent)
    assert console.command("train.py") == f"python {ROOT.name}/train.py"
