"""create_scheduler: tables computed by hand, properties of every schedule, illegal arguments."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindcv.scheduler import SCHEDULERS, create_scheduler

# name, arguments, expected rates
TABLE = [
    ("constant", {"lr": 0.1, "epochs": 2, "updates_per_epoch": 2}, [0.1] * 4),
    (
        "constant",
        {"lr": 1.0, "epochs": 3, "updates_per_epoch": 2, "warmup_epochs": 2, "warmup_factor": 0.2},
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0],
    ),
    (  # warmup of 1.5 updates: the line passes 0.1 at 0 and 1 at 1.5
        "constant",
        {"lr": 1.0, "epochs": 1, "updates_per_epoch": 3, "warmup_epochs": 0.5, "warmup_factor": 0.1},
        [0.1, 0.7, 1.0],
    ),
    (
        "cosine_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 1, "min_lr": 0.2},
        [1.0, 0.2 + 0.4 * (1 + math.sqrt(0.5)), 0.6, 0.2 + 0.4 * (1 - math.sqrt(0.5)), 0.2],
    ),
    (
        "cosine_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 1, "warmup_epochs": 2, "warmup_factor": 0.5},
        [0.5, 0.75, 1.0, 0.5, 0.0],
    ),
    (
        "cosine_decay",
        {"lr": 1.0, "epochs": 6, "updates_per_epoch": 1, "warmup_epochs": 1, "warmup_factor": 0.5, "decay_epochs": 3},
        [0.5, 1.0, 0.5, 0.0, 0.0, 0.0],
    ),
    (  # a decay longer than the run is cut off
        "cosine_decay",
        {"lr": 1.0, "epochs": 2, "updates_per_epoch": 1, "decay_epochs": 3},
        [1.0, 0.5],
    ),
    (
        "step_decay",
        {"lr": 1.0, "epochs": 5, "updates_per_epoch": 2, "decay_epochs": 2, "decay_rate": 0.5},
        [1.0] * 4 + [0.5] * 4 + [0.25] * 2,
    ),
    (  # drops at absolute epochs 2 and 4, not 2 epochs after the warmup
        "step_decay",
        {
            "lr": 1.0,
            "epochs": 5,
            "updates_per_epoch": 1,
            "warmup_epochs": 1,
            "warmup_factor": 0.5,
            "decay_epochs": 2,
            "decay_rate": 0.1,
        },
        [0.5, 1.0, 0.1, 0.1, 0.01],
    ),
    (
        "step_decay",
        {"lr": 1.0, "epochs": 4, "updates_per_epoch": 1, "min_lr": 0.05, "decay_epochs": 1},
        [1.0, 0.1, 0.05, 0.05],
    ),
    (  # milestones are absolute as well
        "multi_step_decay",
        {
            "lr": 1.0,
            "epochs": 6,
            "updates_per_epoch": 1,
            "warmup_epochs": 2,
            "warmup_factor": 0.5,
            "multi_step_decay_milestones": (3, 5),
        },
        [0.5, 0.75, 1.0, 0.1, 0.1, 0.01],
    ),
    (
        "multi_step_decay",
        {"lr": 1.0, "epochs": 2, "updates_per_epoch": 2, "multi_step_decay_milestones": [0.5, 1], "decay_rate": 0.5},
        [1.0, 0.5, 0.25, 0.25],
    ),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), TABLE)
def test_schedule_equals_the_hand_made_table(name, arguments, expected):
    assert create_scheduler(name, **arguments) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_every_registered_schedule_is_in_the_table():
    assert {name for name, _, _ in TABLE} == set(SCHEDULERS.names())


def test_default_milestones_of_a_90_epoch_run_fall_at_30_and_60_despite_a_warmup():
    rates = create_scheduler("multi_step_decay", lr=0.1, epochs=90, updates_per_epoch=10, warmup_epochs=5)
    drops = [i for i in range(50, 900) if rates[i] < rates[i - 1]]
    assert drops == [300, 600]


@st.composite
def runs(draw):
    """Legal arguments for every schedule."""
    epochs = draw(st.integers(1, 12))
    warmup = draw(st.one_of(st.just(0), st.integers(0, epochs - 1), st.floats(0, epochs - 0.01)))
    lr = draw(st.floats(1e-6, 10))
    updates_per_epoch = draw(st.integers(1, 9))
    warmup_end = math.ceil(warmup * updates_per_epoch) / updates_per_epoch
    later = st.floats(warmup_end + 0.01, epochs + 5)
    return {
        "lr": lr,
        "epochs": epochs,
        "updates_per_epoch": updates_per_epoch,
        "min_lr": lr * draw(st.floats(0, 1)),
        "warmup_epochs": warmup,
        "warmup_factor": draw(st.floats(0.001, 0.999)),
        "decay_epochs": draw(later),
        "decay_rate": draw(st.floats(0.01, 1)),
        "multi_step_decay_milestones": sorted(set(draw(st.lists(later, max_size=4)))),
    }


@pytest.mark.parametrize("name", SCHEDULERS.names())
@given(arguments=runs())
def test_any_schedule_is_bounded_rises_in_the_warmup_and_never_rises_after(name, arguments):
    rates = create_scheduler(name, **arguments)
    lr, min_lr = arguments["lr"], arguments["min_lr"]
    warmup_length = math.ceil(arguments["warmup_epochs"] * arguments["updates_per_epoch"])
    warmup, rest = rates[:warmup_length], rates[warmup_length:]

    assert len(rates) == arguments["epochs"] * arguments["updates_per_epoch"]
    assert all(0 < rate < lr for rate in warmup)
    assert all(a < b for a, b in itertools.pairwise(warmup))
    assert all(min_lr * (1 - 1e-12) <= rate <= lr for rate in rest)
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(rest))
    if warmup:
        assert rates[0] == pytest.approx(arguments["warmup_factor"] * lr, rel=1e-12)
    assert rest[:1] == [lr] or not rest


@given(arguments=runs())
def test_cosine_without_a_length_starts_at_lr_and_ends_at_min_lr_on_the_last_update(arguments):
    arguments = {**arguments, "decay_epochs": None}
    first = math.ceil(arguments["warmup_epochs"] * arguments["updates_per_epoch"])
    rates = create_scheduler("cosine_decay", **arguments)
    assert len(rates) - first < 1 or rates[first] == arguments["lr"]
    assert len(rates) - first < 2 or rates[-1] == arguments["min_lr"]


RUN = {"lr": 0.1, "epochs": 10, "updates_per_epoch": 5}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("cosine", {}, "unknown scheduler 'cosine'.*cosine_decay"),
        ("constant", {"lr": 0.0}, "lr must be a number > 0; got 0.0"),
        ("constant", {"lr": float("nan")}, "lr must be a number > 0; got nan"),
        ("constant", {"lr": "0.1"}, "lr must be a number > 0; got '0.1'"),
        ("constant", {"epochs": 0}, "epochs must be a whole number of at least 1; got 0"),
        ("constant", {"epochs": 2.5}, "epochs must be a whole number of at least 1; got 2.5"),
        ("constant", {"updates_per_epoch": 0}, "updates_per_epoch must be a whole number of at least 1; got 0"),
        ("cosine_decay", {"min_lr": 0.2}, "min_lr=0.2 is above lr=0.1"),
        ("cosine_decay", {"min_lr": -0.1}, "min_lr must be a number >= 0; got -0.1"),
        ("cosine_decay", {"warmup_epochs": 10}, "warmup_epochs=10 leaves nothing of epochs=10: it must be smaller"),
        ("cosine_decay", {"warmup_epochs": -1}, "warmup_epochs must be a number >= 0; got -1"),
        ("cosine_decay", {"warmup_factor": 0.0}, r"warmup_factor must be a number in \(0, 1\); got 0.0"),
        ("cosine_decay", {"warmup_factor": 1.0}, r"warmup_factor must be a number in \(0, 1\); got 1.0"),
        ("cosine_decay", {"decay_epochs": 0}, "decay_epochs must be a number > 0; got 0"),
        ("step_decay", {}, "scheduler=step_decay needs decay_epochs"),
        (
            "step_decay",
            {"decay_epochs": 3, "warmup_epochs": 3},
            "warmup_epochs=3 must end before the first drop of decay_epochs=3",
        ),
        ("step_decay", {"decay_epochs": 3, "decay_rate": 0.0}, r"decay_rate must be a number in \(0, 1\]; got 0.0"),
        ("step_decay", {"decay_epochs": 3, "decay_rate": 1.5}, r"decay_rate must be a number in \(0, 1\]; got 1.5"),
        ("multi_step_decay", {"multi_step_decay_milestones": (6, 3)}, r"must be increasing numbers > 0; got \(6, 3\)"),
        ("multi_step_decay", {"multi_step_decay_milestones": (3, 3)}, r"must be increasing numbers > 0; got \(3, 3\)"),
        ("multi_step_decay", {"multi_step_decay_milestones": (0, 3)}, r"must be increasing numbers > 0; got \(0, 3\)"),
        ("multi_step_decay", {"multi_step_decay_milestones": ("3",)}, r"must be increasing numbers > 0; got \('3',\)"),
        (
            "multi_step_decay",
            {"multi_step_decay_milestones": (2, 5), "warmup_epochs": 4},
            r"warmup_epochs=4 must end before the first drop of multi_step_decay_milestones=\(2, 5\)",
        ),
    ],
)
def test_an_illegal_argument_is_named_with_its_value(name, change, message):
    with pytest.raises(ValueError, match=message):
        create_scheduler(name, **{**RUN, **change})
