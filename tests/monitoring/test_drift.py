import numpy as np
import pytest

from models.monitoring.drift import Drift, index_limit, measure_drift, stability_index
from models.registry.profile import TrainedColumn, profile_document
from tests.monitoring.conftest import houses

FEATURES = ("x", "town")


@pytest.fixture(scope="module")
def profile() -> list[TrainedColumn]:
    document = profile_document(houses(2000), np.arange(2000), FEATURES)
    return [TrainedColumn.from_json(column) for column in document["columns"]]


def drift(profile: list[TrainedColumn], rows: int, seed: int = 2, **changed: np.ndarray) -> Drift:
    """The drift of new rows, some columns of which are changed."""
    values = {**houses(rows, seed).values, **changed}
    return measure_drift(profile, {c.name: c.count(values[c.name]) for c in profile}, rows)


def test_the_index_is_that_of_the_textbook() -> None:
    trained, found = np.array([100_000, 300_000, 600_000]), np.array([200_000, 300_000, 500_000])
    expected = 0.1 * np.log(2) + 0.1 * np.log(6 / 5)
    assert stability_index(trained, found) == pytest.approx(expected, rel=1e-3)
    assert stability_index(trained, trained) == 0


def test_rows_as_in_training_never_drift(profile: list[TrainedColumn]) -> None:
    for rows in (100, 300, 3000):
        verdicts = {drift(profile, rows, seed).verdict for seed in range(100, 150)}
        assert verdicts == {"no drift"}


def test_the_limit_allows_for_noise_where_rows_are_few() -> None:
    assert index_limit(11, 2000, 100_000, 2) == 0.2
    assert 0.25 < index_limit(11, 2000, 100, 2) < 0.4
    # The 99.9 % quantile of chi-squared with 10 degrees of freedom is 29.59.
    assert index_limit(11, 10**9, 100, 1) == pytest.approx(0.2959, rel=0.01)


def test_a_shift_is_found_and_named(profile: list[TrainedColumn]) -> None:
    shifted = drift(profile, 300, x=houses(300, 3).values["x"] + 1)
    assert shifted.verdict == "drift in x"
    x, town = shifted.columns
    assert (x.verdict, town.verdict) == ("drift", "no drift")
    assert x.psi is not None
    assert x.limit is not None
    assert x.psi > x.limit
    assert (x.unseen, town.out_of_range) == (None, None)

    towns = np.array(["Oz"] * 30 + ["Graz"] * 270, dtype=object)
    both = drift(profile, 300, x=np.full(300, 99.0), town=towns)
    assert both.verdict == "drift in x, town"
    assert both.columns[0].out_of_range == 1
    assert both.columns[1].unseen == 0.1


def test_missing_cells_are_a_drift(profile: list[TrainedColumn]) -> None:
    cells = houses(300, 3).values["x"]
    cells[::3] = np.nan
    found = drift(profile, 300, x=cells)
    assert found.verdict == "drift in x"
    assert found.columns[0].missing == pytest.approx(1 / 3)
    assert found.columns[0].missing_in_training == 0


def test_few_values_that_training_had_not_are_a_drift(profile: list[TrainedColumn]) -> None:
    cells = houses(1000, 3).values["x"]
    cells[:60] = 50.0
    found = drift(profile, 1000, x=cells)
    assert found.verdict == "drift in x"
    assert found.columns[0].out_of_range == pytest.approx(0.06, abs=0.005)


def test_nothing_is_said_of_few_rows_or_without_a_profile(profile: list[TrainedColumn]) -> None:
    few = drift(profile, 12, x=np.full(12, 99.0))
    assert few.verdict == "too few rows: 12 of 100"
    assert {column.verdict for column in few.columns} == {"too few rows: 12 of 100"}
    assert measure_drift(None, {}, 500).verdict == "no profile"
    assert measure_drift(profile, {}, 0).verdict == "too few rows: 0 of 100"
