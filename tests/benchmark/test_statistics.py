"""Medians, quartiles and ratios of measurements."""

import numpy as np
import pytest

from mindcv.benchmark.statistics import Spread, spread, spread_of_ratio


@pytest.mark.parametrize("count", [2, 3, 4, 12])
def test_the_spread_is_the_median_and_the_quartiles(count):
    values = np.random.default_rng(count).exponential(size=count)
    np.testing.assert_allclose(spread([*values]), np.percentile(values, [50, 25, 75]), rtol=1e-12)


def test_one_measurement_has_no_spread():
    assert spread([2.5]) == Spread(2.5, 2.5, 2.5)


def test_ratios_are_those_of_neighbours():
    # The ratio of the medians would be 2 / 4; of the pairs it is 0.25, 0.5, 3.
    assert spread_of_ratio([1.0, 2.0, 9.0], [4.0, 4.0, 3.0]) == Spread(0.5, 0.375, 1.75)
    with pytest.raises(ValueError):
        spread_of_ratio([1.0], [1.0, 2.0])


def test_a_spread_is_shown_with_its_quartiles():
    assert spread([1.0, 2.0, 3.0]).scaled(1000).shown(1) == "2,000.0 (1,500.0 - 2,500.0)"
