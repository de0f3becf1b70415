"""The accelerators' training step against the CPU's: the same results and states, to the last bit."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from photo_steps import GOOD, Small, with_pixel
from tiers import COMPILED_LATER, full, in_both_modes

from mindcv.engine import (
    Callback,
    Clip,
    DeviceStep,
    Progress,
    StepReport,
    Trainer,
    TrainState,
    TrainStep,
    WeightAverage,
    create_loss_scale,
    device_step,
    step_for_device,
)
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer

NAN, HUGE = with_pixel(np.nan), with_pixel(1e30)  # HUGE: infinite statistics of a finite loss
CALLS = [NAN, *GOOD[:2], HUGE, GOOD[2], NAN, NAN, *GOOD[3:6]]


def build(kind, opt="momentum", *, clip=None, ema=False, scale=None, **options) -> TrainStep:
    ms.set_seed(5)
    network = Small()
    settings = {key: options.pop(key) for key in ("layer_decay", "use_nesterov") if key in options}
    lr = [0.1 / (1 + update) for update in range(10)]
    optimizer = create_optimizer(network, opt, lr=lr, weight_decay=0.01, **settings)
    step = kind(
        network,
        create_loss("CE"),
        optimizer,
        clip=Clip(clip, 0.1, optimizer.parameters) if clip else None,
        average=WeightAverage(network, 0.9, 3.0) if ema else None,
        loss_scale=create_loss_scale("dynamic", scale, "O2", "float16", skips_overflow=False) if scale else None,
        **options,
    )
    return step.set_train(True)


def state_of(step) -> dict[str, np.ndarray]:
    """Everything that a call may change; negative zeros as positive ones."""
    own = {p.name: p for cell in (step, step.network, step.optimizer) for p in cell.get_parameters()}
    return {name: np.add(p.asnumpy(), 0, dtype=p.asnumpy().dtype) for name, p in own.items() if name != "closed"}


def assert_equal_states(actual, expected):
    assert actual.keys() == expected.keys()
    assert not [name for name in actual if actual[name].tobytes() != expected[name].tobytes()]


def run(step, batches) -> list[tuple]:
    reports = []
    for batch in batches:
        report = tuple(result.asnumpy().item() for result in step(*batch))
        if not report[1]:
            step.reopen()
        reports.append(tuple(map(repr, report)))
    return reports


COMBINED = {"clip": "norm", "ema": True, "scale": 2.0, "accumulate_steps": 2}
CASES = {
    "momentum": ("momentum", {}),
    "combined": ("momentum", COMBINED),
    "adamw": ("adamw", {"clip": "agc", "layer_decay": 0.5}),
    "lion": ("lion", {"ema": True}),
    "another": ("nesterov", COMBINED),  # MindSpore's own
}


@in_both_modes("case", CASES, compiled=["combined"], by_default=["momentum", "combined"])
def test_good_and_bad_calls_leave_what_they_leave_on_a_cpu(mode, case):
    opt, options = CASES[case]
    step, expected = build(DeviceStep, opt, **options), build(TrainStep, opt, **options)
    for batch in CALLS:
        assert run(step, [batch]) == run(expected, [batch])
        assert_equal_states(state_of(step), state_of(expected))


@COMPILED_LATER
def test_calls_after_a_bad_one_change_nothing_until_it_is_read(mode):
    step, expected = (build(kind, **COMBINED) for kind in (DeviceStep, TrainStep))
    results = [step(*batch) for batch in (GOOD[0], NAN, GOOD[1])]
    assert [bool(result.finite.asnumpy()) for result in results] == [True, False, False]
    step.reopen(void=1)
    run(expected, [GOOD[0], NAN])
    assert_equal_states(state_of(step), state_of(expected))
    assert run(step, GOOD[1:3]) == run(expected, GOOD[1:3])
    assert_equal_states(state_of(step), state_of(expected))


class Loader:
    """Batches of two epochs."""

    batch_size = 4

    def __init__(self, batches):
        self.batches = [tuple(tensor.asnumpy() for tensor in batch) for batch in batches]

    def __len__(self):
        return len(self.batches) // 2

    def epoch(self, epoch, start=0):
        yield from self.batches[(epoch - 1) * len(self) + start : epoch * len(self)]


class Memory(Callback):
    """Keeps the run's state at each save, and the order of events."""

    def __init__(self, step):
        self.step, self.state, self.events = step, TrainState(step), []

    def on_step_end(self, report):
        self.events.append(report)

    def save_now(self, progress):
        self.events.append((progress.epoch, progress.batch, state_of(self.step)))
        self.kept = SimpleNamespace(weights=self.state.weights(), state=self.state.arrays(), path="memory")

    def save_epoch(self, result, progress):
        self.save_now(progress)

    def roll_back(self):
        self.events.append("back")
        self.state.roll_back(self.kept)


def fit(kind, batches, *, on_nan="skip", stop=lambda memory: False, **options):
    step = build(kind, **options)
    memory, progress = Memory(step), Progress()
    trainer = Trainer(
        step, None, [memory], saver=memory, save_steps=2, on_nan=on_nan, stop=lambda: stop(memory), progress=False
    )
    problem = None
    try:
        trainer.fit(Loader(batches), epochs=2, learning_rates=[0.1] * 10, progress=progress)
    except ValueError as error:
        problem = str(error)
    return step, memory.events, progress, problem


def assert_equal_runs(actual, expected):
    (step, events, progress, problem), (other, expected_events, expected_progress, expected_problem) = actual, expected
    assert len(events) == len(expected_events)
    for event, want in zip(events, expected_events, strict=True):
        if isinstance(event, tuple):
            assert event[:2] == want[:2]
            assert_equal_states(event[2], want[2])
        else:
            assert repr(event) == repr(want)
    assert_equal_states(state_of(step), state_of(other))
    assert TrainState(step).arrays().keys() == TrainState(other).arrays().keys()
    assert problem == expected_problem
    position = ("epoch", "batch", "counted", "loss_sum", "bad_steps", "overflows")
    assert [getattr(progress, name) for name in position] == [getattr(expected_progress, name) for name in position]


BATCHES = [GOOD[0], NAN, GOOD[1], NAN, NAN, GOOD[2], HUGE, *GOOD[3:6]]


@COMPILED_LATER
@pytest.mark.parametrize("on_nan", ["skip", "rollback", "stop"])
@pytest.mark.parametrize("options", full([{}, COMBINED], by_default=[COMBINED]), ids=["plain", "combined"])
def test_a_run_is_the_same_though_results_are_read_late(mode, on_nan, options):
    batches = [*GOOD[:3], *BATCHES[1:]] if on_nan == "rollback" else BATCHES
    assert_equal_runs(*(fit(kind, batches, on_nan=on_nan, **options) for kind in (DeviceStep, TrainStep)))


@pytest.mark.parametrize("mode", ["pynative"], indirect=True)
def test_a_stopped_run_ends_with_the_step_sent_last(mode):
    def stops_after(steps):
        return lambda memory: sum(isinstance(event, StepReport) for event in memory.events) >= steps

    late = fit(DeviceStep, GOOD * 2, stop=stops_after(3))
    assert late[2].batch == 4  # the fourth was sent before the third was read
    assert_equal_runs(late, fit(TrainStep, GOOD * 2, stop=stops_after(4)))


def test_a_step_is_sent_before_the_result_of_the_one_before_is_read_unless_that_is_saved():
    order = []

    class Result:
        def __init__(self, number, value):
            self.number, self.value = number, value

        def asnumpy(self):
            order.append(f"read {self.number}")
            return np.array(self.value)

    class Recorder:
        lag, accumulate_steps, updates, average = 1, 1, 0, None

        def set_train(self, mode):
            self.number = 0

        def __call__(self, images, labels):
            self.number += 1
            order.append(f"send {self.number}")
            return [Result(self.number, value) for value in (1.0, True, True, False)]

    saver = SimpleNamespace(save_now=lambda progress: order.append("save"), save_epoch=lambda result, progress: None)
    trainer = Trainer(Recorder(), None, saver=saver, save_steps=3, progress=False)
    trainer.fit(Loader(GOOD[:4] * 2), epochs=1, learning_rates=[0.1] * 9)
    assert list(dict.fromkeys(order)) == [
        *("send 1", "send 2", "read 1", "send 3", "read 2", "read 3", "save", "send 4", "read 4")
    ]


@pytest.mark.parametrize("cpu, kind", [(True, TrainStep), (False, DeviceStep)])
def test_the_device_decides_which_step_is_built(monkeypatch, cpu, kind):
    monkeypatch.setattr(device_step, "on_cpu", lambda: cpu)
    assert step_for_device() is kind
    assert (step_for_device("host"), step_for_device("device")) == (TrainStep, DeviceStep)
