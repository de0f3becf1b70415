"""The formulas against values computed by hand."""

import pytest

from mindcv.scheduler.schedules import cosine_decay, linear_warmup, multi_step_decay, step_decay


@pytest.mark.parametrize(
    ("update", "num_updates", "start", "end", "expected"),
    [
        (0, 4, 0.1, 0.5, 0.1),
        (1, 4, 0.1, 0.5, 0.2),
        (3, 4, 0.1, 0.5, 0.4),
        (1, 2.5, 0.0, 1.0, 0.4),
    ],
)
def test_linear_warmup_is_a_straight_line(update, num_updates, start, end, expected):
    assert linear_warmup(update, num_updates, start, end) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("update", "num_updates", "expected"),
    [
        (0, 5, 1.0),  # cos 0
        (1, 5, 0.2 + 0.4 * (1 + 2**-0.5)),  # cos 45 degrees
        (2, 5, 0.6),  # cos 90
        (3, 5, 0.2 + 0.4 * (1 - 2**-0.5)),  # cos 135
        (4, 5, 0.2),  # cos 180
        (5, 5, 0.2),
        (99, 5, 0.2),
        (0, 1, 1.0),
        (1, 1, 0.2),
    ],
)
def test_cosine_decay_goes_from_start_to_end_and_stays(update, num_updates, expected):
    assert cosine_decay(update, num_updates, 1.0, 0.2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("epoch", "decay_epochs", "expected"),
    [
        (0, 30, 1.0),
        (29.99, 30, 1.0),
        (30, 30, 0.1),
        (59.99, 30, 0.1),
        (60, 30, 0.01),
        (2.3, 2.4, 1.0),
        (2.4, 2.4, 0.1),
        (3 * 0.1, 0.1, 0.001),  # 0.30000000000000004 / 0.1
        (0.6, 0.2, 0.001),  # 2.9999999999999996 in floating point: must not be cut to 2
    ],
)
def test_step_decay_drops_at_every_multiple(epoch, decay_epochs, expected):
    assert step_decay(epoch, 1.0, decay_epochs, 0.1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 8.0), (1.99, 8.0), (2, 4.0), (4.49, 4.0), (4.5, 2.0), (7, 1.0), (100, 1.0)]
)
def test_multi_step_decay_drops_at_each_milestone(epoch, expected):
    assert multi_step_decay(epoch, 8.0, (2, 4.5, 7), 0.5) == pytest.approx(expected, rel=1e-12)


def test_cosine_between_equal_rates_does_not_leave_them_by_rounding():
    assert {cosine_decay(update, 6, 1e-5, 1e-5) for update in range(8)} == {1e-5}
