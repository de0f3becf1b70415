"""A disk that becomes full, read-only or broken during a run: an error, and saved files stay."""

import errno
import os
import re

import pytest
from faults.kill_campaign import SCENARIOS, check_folder, differences, outcome
from faults.kill_runs import MODEL, Fault, Runner, command
from tiers import full

from mindcv.checkpoint import read_checkpoint

OPTIONS = {**SCENARIOS["pynative"], "resume": "auto"}
LAST = rf"\.{MODEL}-last\.saving"
# The failing operation and its error, from the third save on.
ERRORS = {
    "no space for a file": (rf"open {LAST}\.ckpt", errno.ENOSPC),
    "quota": (rf"open {LAST}\.ckpt", errno.EDQUOT),
    "broken disk": (rf"fsync {LAST}\.ckpt", errno.EIO),
    "no space at flush": (rf"fsync {LAST}\.ckpt", errno.ENOSPC),
    "permission lost": (rf"rename {LAST}\.ckpt {MODEL}-last\.ckpt", errno.EACCES),
    "no space for a name": (rf"rename \S+ {MODEL}-previous\.ckpt", errno.ENOSPC),
    "folder not to be flushed": (r"fsync \.", errno.EIO),
    "best": (rf"open \.{MODEL}-best\.saving\.ckpt", errno.ENOSPC),
    "metrics": (r"open \.metrics\.saving\.csv", errno.ENOSPC),
}


@pytest.fixture(scope="module")
def runner():
    with Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["stop", "continue"])
def policy(request, runner, tmp_path_factory):
    """on_save_error, and the outcome of an undisturbed run with it."""
    folder = tmp_path_factory.mktemp("reference")
    options = {**OPTIONS, "on_save_error": request.param}
    assert runner.train(command(folder, **options), folder).code == 0
    return options, outcome(folder)


def check_stopped(attempt, folder, reason):
    """Check exit code 2 and the sentence: the file, the reason, the remaining checkpoint."""
    assert attempt.code == 2, attempt.console
    assert "Traceback" not in attempt.console
    message = attempt.console.splitlines()[-1]
    assert message.startswith("error: ") and len(re.findall("^error: ", attempt.console, re.M)) == 1
    assert str(folder) in message and reason in message and "intact" in message, message
    assert not re.search(r"\[Errno|\.saving", message), message


def check_tidy(folder):
    """Check that all checkpoints are intact and no temporary files are left."""
    check_folder(folder, [], (0, 0))
    assert not list(folder.glob(".*saving*"))


@pytest.mark.parametrize("what", full(ERRORS, by_default=["no space at flush", "best"]))
def test_errors_end_the_run_or_not_as_set_by_on_save_error(what, policy, runner, tmp_path):
    options, expected = policy
    match, number = ERRORS[what]
    argv = command(tmp_path, **options)
    skip = 0 if what in ("best", "metrics") else 2
    count = None if options["on_save_error"] == "stop" else 1
    attempt = runner.train(argv, tmp_path, fault=Fault("error", match, skip=skip, count=count, errno=number))
    check_tidy(tmp_path)
    if options["on_save_error"] == "stop":
        check_stopped(attempt, tmp_path, os.strerror(number))
        assert read_checkpoint(tmp_path / f"{MODEL}-last.ckpt").state
        assert runner.train(argv, tmp_path).code == 0
    else:
        assert attempt.code == 0, attempt.console
        assert "warning: " in attempt.console and os.strerror(number) in attempt.console
    assert not differences(expected, outcome(tmp_path))


def test_a_file_system_that_becomes_read_only(policy, runner, tmp_path):
    options, expected = policy
    argv = command(tmp_path, **options)
    fault = Fault("error", r"(?!unlink \.lock).*", skip=40, errno=errno.EROFS)
    attempt = runner.train(argv, tmp_path, fault=fault)
    if options["on_save_error"] == "stop":
        check_stopped(attempt, tmp_path, os.strerror(errno.EROFS))
    else:
        assert attempt.code == 2 and "its last checkpoint is missing" in attempt.console, attempt.console
    assert "Traceback" not in attempt.console
    check_folder(tmp_path, [attempt], (0, 0))
    assert runner.train(argv, tmp_path).code == 0
    assert not differences(expected, outcome(tmp_path))


@pytest.mark.parametrize("size", full([0, 10_000, 150_000], by_default=[10_000]))
def test_files_that_cannot_grow(size, policy, runner, tmp_path):
    options, expected = policy
    argv = command(tmp_path, **options)
    fault = Fault("limit", rf"open {LAST}\.ckpt", skip=2, count=1, size=size)
    attempt = runner.train(argv, tmp_path, fault=fault)
    check_tidy(tmp_path)
    if options["on_save_error"] == "stop":
        check_stopped(attempt, tmp_path, os.strerror(errno.EFBIG))
        assert runner.train(argv, tmp_path).code == 0
    else:
        assert attempt.code == 0 and "warning: " in attempt.console, attempt.console
    assert not differences(expected, outcome(tmp_path))


def test_hard_links_are_not_needed(runner, policy, tmp_path):
    options, expected = policy
    fault = Fault("error", r"link .*", errno=errno.EPERM)
    assert runner.train(command(tmp_path, **options), tmp_path, fault=fault).code == 0
    assert not differences(expected, outcome(tmp_path))


def test_a_run_without_its_last_checkpoint_ends_with_an_error(runner, tmp_path):
    argv = command(tmp_path, **OPTIONS, on_save_error="continue")
    attempt = runner.train(argv, tmp_path, fault=Fault("error", rf"open {LAST}\.ckpt", skip=8, errno=errno.ENOSPC))
    assert attempt.code == 2
    message = r"^error: training is finished, but its last checkpoint is missing.*No space"
    assert re.search(message, attempt.console, re.M)
    check_tidy(tmp_path)
    again = runner.train(argv, tmp_path)
    assert again.code == 0 and "resumed from" in again.console


def test_the_reported_best_checkpoint_exists(runner, tmp_path):
    options = {**OPTIONS, **SCENARIOS["pynative adamw"], "epoch_size": 2, "on_save_error": "continue", "seed": 1}
    fault = Fault("error", rf"open \.{MODEL}-best\.saving\.ckpt", count=1, errno=errno.ENOSPC)
    attempt = runner.train(command(tmp_path, **options), tmp_path, fault=fault)
    assert attempt.code == 0, attempt.console
    assert re.search(r"^epoch 1/2 .* best$", attempt.console, re.M)
    named = re.search(r"--ckpt_path='?(\S+?\.ckpt)", attempt.console)[1]
    best = re.search(r"^best: epoch (\d+)", attempt.console, re.M)
    assert not best or best[1] != "1"
    assert read_checkpoint(named).info["epoch"] == (int(best[1]) if best else options["epoch_size"])
