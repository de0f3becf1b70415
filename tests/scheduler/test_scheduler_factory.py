"""create_scheduler: properties of every schedule, illegal arguments."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindcv.scheduler import SCHEDULERS, create_scheduler, plateau_factor
from mindcv.scheduler.factory import RISING


def test_default_milestones_of_a_90_epoch_run_fall_at_30_and_60_despite_a_warmup():
    rates = create_scheduler("multi_step_decay", lr=0.1, epochs=90, updates_per_epoch=10, warmup_epochs=5)
    drops = [i for i in range(50, 900) if rates[i] < rates[i - 1]]
    assert drops == [300, 600]


@st.composite
def runs(draw, name):
    """Legal arguments for a schedule."""
    epochs = draw(st.integers(1, 12))
    warmup = draw(st.one_of(st.just(0), st.integers(0, epochs - 1), st.floats(0, epochs - 0.01)))
    lr = draw(st.floats(1e-6, 10))
    updates_per_epoch = draw(st.integers(1, 9))
    length = {"warmup_epochs": warmup}
    if name in RISING:
        warmup, length = 0, {}
    elif draw(st.booleans()) and epochs * updates_per_epoch > 1:
        length = {"warmup_steps": draw(st.integers(1, epochs * updates_per_epoch - 1))}
        warmup = length["warmup_steps"] / updates_per_epoch
    warmup_end = warmup_updates({**length, "updates_per_epoch": updates_per_epoch}) / updates_per_epoch
    later = st.floats(warmup_end + 0.01, epochs + 5)
    return {
        **length,
        "lr": lr,
        "epochs": epochs,
        "updates_per_epoch": updates_per_epoch,
        "min_lr": lr * draw(st.floats(0, 1)),
        "warmup_factor": draw(st.floats(0.001, 0.999)),
        "decay_epochs": draw(later),
        "decay_rate": draw(st.floats(0.01, 3 if name == "polynomial_decay" else 1)),
        "multi_step_decay_milestones": sorted(set(draw(st.lists(later, max_size=4)))),
        "num_cycles": draw(st.integers(1, 4)),
        "cycle_decay": draw(st.floats(0.1, 1)),
        "lr_k_decay": draw(st.floats(0.3, 3)),
        "cooldown_epochs": draw(st.floats(0, (epochs - warmup) * 0.99)),
        "pct_start": draw(st.floats(0.01, 0.99)),
        "div_factor": draw(st.floats(1, 100)),
    }


def warmup_updates(arguments):
    """The number of updates before the first one that is not part of the warmup."""
    return arguments.get("warmup_steps") or math.ceil(
        arguments.get("warmup_epochs", 0) * arguments["updates_per_epoch"]
    )


@pytest.mark.parametrize("name", SCHEDULERS.names())
@settings(max_examples=40)  # of each schedule
@given(data=st.data())
def test_any_schedule_has_its_length_rises_in_the_warmup_and_stays_in_bounds(name, data):
    arguments = data.draw(runs(name))
    rates = create_scheduler(name, **arguments)
    lr, low, first = arguments["lr"], arguments["min_lr"], warmup_updates(arguments)
    warmup, rest = rates[:first], rates[first:]

    assert len(rates) == arguments["epochs"] * arguments["updates_per_epoch"]
    assert all(0 < rate < lr for rate in warmup)
    assert all(a < b for a, b in itertools.pairwise(warmup))
    assert all(min(low, lr / arguments["div_factor"] if name == "one_cycle" else low) <= rate <= lr for rate in rest)
    if warmup:
        assert rates[0] == pytest.approx(arguments["warmup_factor"] * lr, rel=1e-12)
    if name not in RISING:
        assert rest[:1] in ([lr], [])


@pytest.mark.parametrize("name", [name for name in SCHEDULERS.names() if name not in RISING])
@settings(max_examples=40)  # of each schedule
@given(data=st.data())
def test_a_schedule_without_cycles_never_rises_after_the_warmup(name, data):
    arguments = {**data.draw(runs(name)), "num_cycles": 1}
    rates = create_scheduler(name, **arguments)[warmup_updates(arguments) :]
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(rates))


@pytest.mark.parametrize("name", SCHEDULERS.names())
@settings(max_examples=40)  # of each schedule
@given(data=st.data())
def test_a_stair_holds_the_rate_of_each_epochs_first_update(name, data):
    arguments = data.draw(runs(name))
    count = arguments["updates_per_epoch"]
    smooth = create_scheduler(name, **arguments)
    assert create_scheduler(name, **arguments, lr_epoch_stair=True) == [
        rate for rate in smooth[::count] for _ in range(count)
    ]


@pytest.mark.parametrize("name", ["cosine_decay", "polynomial_decay"])
@settings(max_examples=40)  # of each schedule
@given(data=st.data())
def test_a_decay_without_a_length_starts_at_lr_and_is_at_min_lr_from_the_cooldown_on(name, data):
    arguments = {**data.draw(runs(name)), "decay_epochs": None, "num_cycles": 1}
    rates = create_scheduler(name, **arguments)
    first = warmup_updates(arguments)
    cooled = round(arguments["cooldown_epochs"] * arguments["updates_per_epoch"])
    last = len(rates) - cooled - 1  # of the decay
    assert rates[first : first + 1] in ([arguments["lr"]], [])
    if last > first:
        assert set(rates[last:]) == {arguments["min_lr"]}


@given(data=st.data())
def test_each_cosine_cycle_begins_at_its_own_peak_and_ends_at_min_lr(data):
    arguments = {**data.draw(runs("cosine_decay")), "decay_epochs": None, "cooldown_epochs": 0}
    rates = create_scheduler("cosine_decay", **arguments)[warmup_updates(arguments) :]
    low, cycles = arguments["min_lr"], arguments["num_cycles"]
    length = len(rates) // cycles
    if length < 2:
        return
    for cycle in range(cycles):
        part = rates[cycle * length : (cycle + 1) * length]
        assert part[0] == max(arguments["lr"] * arguments["cycle_decay"] ** cycle, low)
        assert part[-1] == low
        assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(part))
    assert set(rates[cycles * length :]) <= {low}


@given(data=st.data())
def test_one_cycle_rises_once_then_falls_to_min_lr(data):
    arguments = data.draw(runs("one_cycle"))
    rates = create_scheduler("one_cycle", **arguments)
    top = rates.index(max(rates))
    if top > 0:
        assert rates[0] == arguments["lr"] / arguments["div_factor"]
    if top < len(rates) - 1:
        assert rates[-1] == arguments["min_lr"]
    assert all(a <= b * (1 + 1e-12) for a, b in itertools.pairwise(rates[: top + 1]))
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(rates[top:]))


@given(cycles=st.integers(1, 5), half=st.integers(1, 8), low=st.floats(0, 1))
def test_cyclic_reaches_both_ends_in_every_cycle(cycles, half, low):
    rates = create_scheduler("cyclic", lr=1.0, min_lr=low, epochs=cycles, updates_per_epoch=2 * half, num_cycles=cycles)
    assert rates[:: 2 * half] == pytest.approx([low] * cycles)
    assert rates[half :: 2 * half] == pytest.approx([1.0] * cycles)


@pytest.mark.parametrize(
    "scores, options, factor",
    [
        ([], {}, 1.0),
        ([50, 51, 52, 53, 54, 55], {}, 1.0),
        ([50, 50, 50, 50], {}, 0.1),  # epochs 2, 3, 4 are without a rise: more than two
        ([50, 50, 50], {}, 1.0),
        ([50, 49, 49, 50.1, 50, 50, 50], {}, 0.1),  # the rise in epoch 4 came in time
        ([50, 40, 40, 40, 45, 45, 45], {}, 0.01),  # 45 is no better than 50
        ([50, 40, 40, 40, 51, 45, 45, 45], {"decay_rate": 0.5}, 0.25),
        ([9, 1, 1, 1, 1, 1, 1, 1, 1, 1], {"min_lr": 0.04}, 0.02),  # 0.002 without the floor
        ([9, 1, 1, 1], {"warmup_epochs": 1}, 1.0),  # the 9 was in the warmup
        ([9, 1, 1, 1, 1], {"warmup_epochs": 2}, 1.0),
        ([9, 1, 1, 1, 1, 1], {"warmup_epochs": 2}, 0.1),
        ([9, 9], {"patience_epochs": 0}, 0.1),
    ],
)
def test_plateau_lowers_the_rate_after_too_many_epochs_without_a_better_score(scores, options, factor):
    options = {"lr": 2.0, "min_lr": 0.0, "patience_epochs": 2, "warmup_epochs": 0, **options}
    assert plateau_factor(enumerate(scores, 1), **options) == pytest.approx(factor, rel=1e-12)


def test_plateau_counts_epochs_also_if_some_were_not_validated():
    options = {"lr": 1.0, "min_lr": 0.0, "patience_epochs": 5, "warmup_epochs": 0}
    assert plateau_factor([(3, 50.0), (6, 50.0)], **options) == 1.0
    assert plateau_factor([(3, 50.0), (6, 50.0), (9, 50.0)], **options) == 0.1


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
        ("step_decay", {"decay_epochs": 3, "decay_rate": 0.0}, "decay_rate must be a number > 0; got 0.0"),
        *(
            (name, {"decay_epochs": 3, "decay_rate": 1.5}, rf"decay_rate=1.5 must be in \(0, 1\] with scheduler={name}")
            for name in ("step_decay", "multi_step_decay", "exponential_decay", "plateau")
        ),
        ("cosine_decay", {"num_cycles": 1.5}, "num_cycles must be a whole number of at least 1; got 1.5"),
        ("cosine_decay", {"cycle_decay": 1.5}, r"cycle_decay must be a number in \(0, 1\]; got 1.5"),
        ("cosine_decay", {"lr_k_decay": 0}, "lr_k_decay must be a number > 0; got 0"),
        ("constant", {"warmup_steps": 50}, "warmup_steps=50 leaves nothing of epochs=10: it must be smaller"),
        ("constant", {"warmup_steps": 5, "warmup_epochs": 1}, "warmup_epochs=1 and warmup_steps=5: the warmup has one"),
        (
            "polynomial_decay",
            {"warmup_epochs": 5, "cooldown_epochs": 5},
            "warmup_epochs=5 and cooldown_epochs=5 leave nothing of epochs=10",
        ),
        (
            "one_cycle",
            {"warmup_epochs": 1},
            "scheduler=one_cycle rises by itself: it takes no warmup, got warmup_epoch",
        ),
        ("cyclic", {"warmup_steps": 1}, "scheduler=cyclic rises by itself: it takes no warmup, got warmup_steps=1"),
        ("one_cycle", {"pct_start": 1.0}, r"pct_start must be a number in \(0, 1\); got 1.0"),
        ("one_cycle", {"div_factor": 0.5}, "div_factor must be a number >= 1; got 0.5"),
        (
            "multi_step_decay",
            {"multi_step_decay_milestones": (2, 5), "warmup_steps": 10},
            r"warmup_steps=10 must end before the first drop of multi_step_decay_milestones=\(2, 5\)",
        ),
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
