"""The option `processes`: where it comes from and what follows from it."""

import pytest

import assemble
from config import load_config
from mindcv.data.threads import count_workers
from mindcv.distributed import ALONE, LAUNCHER, World, is_launched, joined_size, speaks_before_joining


@pytest.fixture
def msrun(monkeypatch):
    """Sets what msrun sets for one of several processes."""

    def start(size, role="MS_WORKER"):
        monkeypatch.setenv("MS_ROLE", role)
        monkeypatch.setenv("MS_WORKER_NUM", str(size))

    return start


def test_the_number_is_that_of_the_processes_that_were_started(msrun, recipe):
    msrun(4)
    config = load_config(["-c", recipe("model: resnet18\nprocesses: 2")], prog="train")
    assert (config.runtime.processes, config.sources["processes"]) == (4, "MS_WORKER_NUM")
    assert config.inherit({"processes": 8}).runtime.processes == 4
    assert load_config(["--processes=4"], prog="train").runtime.processes == 4
    with pytest.raises(ValueError, match="--processes='2', but 4 were started"):
        load_config(["--processes=2"], prog="train")


def test_a_number_that_is_none_is_an_error(msrun):
    msrun("several")
    with pytest.raises(ValueError, match="MS_WORKER_NUM must be the number of processes; got 'several'"):
        load_config([], prog="train")


def test_a_role_that_msrun_does_not_set_is_an_error_and_an_empty_one_is_none(monkeypatch):
    monkeypatch.setenv("MS_ROLE", "MS_PSERVER")
    with pytest.raises(ValueError, match=r"MS_ROLE must be MS_WORKER or MS_SCHED, .* got 'MS_PSERVER'"):
        joined_size()
    monkeypatch.setenv("MS_ROLE", "")
    assert joined_size() is None


def test_a_variable_that_a_launcher_left_behind_is_no_launch(msrun, monkeypatch):
    monkeypatch.setenv(LAUNCHER, "1")
    monkeypatch.setenv("RANK_ID", "1")
    assert not is_launched() and speaks_before_joining()
    msrun(2)
    assert is_launched() and not speaks_before_joining()
    monkeypatch.delenv(LAUNCHER)
    assert not speaks_before_joining()


def test_processes_of_mpirun_do_not_train_separately(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="mpirun is not supported: start several processes with --processes=N"):
        load_config([], prog="train")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "many")
    with pytest.raises(ValueError, match="mpirun is not supported"):
        joined_size()
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    assert joined_size() is None


def test_lr_base_counts_the_examples_of_all():
    line = ["--lr_base=0.1", "--batch_size=32", "--gradient_accumulation_steps=2", "--processes=4", "--opt=momentum"]
    assert load_config(line, prog="train").schedule.lr == pytest.approx(0.1)
    assert load_config([*line[:3], line[4]], prog="train").schedule.lr == pytest.approx(0.025)


def test_no_graphs_are_kept_with_several(tmp_path):
    assert assemble.graph_folder(load_config(["--processes=2"], prog="train")) is None
    assert assemble.graph_folder(load_config([], prog="train")) is not None


@pytest.mark.parametrize("value", ["0", "-1", "two"])
def test_illegal_numbers_are_refused(value):
    with pytest.raises(ValueError, match=f"processes: '{value}' is not an integer >= 1"):
        load_config([f"--processes={value}"], prog="train")


def test_data_threads_divide_the_cores(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert [count_workers(None, processes) for processes in (1, 2, 4, 64)] == [8, 8, 4, 1]
    assert count_workers(3, 8) == 3


def test_a_condition_of_any_process_holds_for_all():
    assert World(0, 2, add=lambda numbers: [numbers[0] + 1.0]).any(False)
    assert not ALONE.any(False) and ALONE.any(True)


def test_processes_that_see_something_else_are_an_error_in_each():
    counts, digests = {"complete epochs": 2, "training images": 1437}, {"weights": 99}
    World(0, 2, add=lambda numbers: [2 * number for number in numbers]).check_agreement(counts, digests)
    other = iter([[0.0, 1437.0, 98.0], [1.0]])
    world = World(1, 2, add=lambda numbers: [mine + its for mine, its in zip(numbers, next(other), strict=True)])
    with pytest.raises(ValueError, match=r"process 1 and the others differ in complete epochs \(2 here\), weights\."):
        world.check_agreement(counts, digests)
    only_others = iter([[2.0, 1437.0, 99.0], [1.0]])
    world = World(0, 2, add=lambda numbers: [mine + its for mine, its in zip(numbers, next(only_others), strict=True)])
    with pytest.raises(ValueError, match="differ in what they compared"):
        world.check_agreement(counts, digests)


@pytest.mark.parametrize(("rank", "order"), [(0, ["downloads", "tells"]), (1, ["waits", "downloads"])])
def test_the_main_process_is_first(rank, order):
    done = []
    world = World(rank, 2, add=lambda numbers: done.append("tells" if rank == 0 else "waits") or numbers)
    with world.main_first():
        done.append("downloads")
    assert done == order
