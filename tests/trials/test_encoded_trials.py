"""Trials of every encoding: prepared once for each, trained, and of the size that is forecast."""

import random
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from models.data.encoding.choice import STANDARD, CategoryEncoding, Encoding, NumericEncoding
from models.data.preparation.tasks import Task
from models.networks.inputs import Inputs
from models.space.drawing import Values, draw
from models.space.hyperparameters import CATEGORY_ENCODINGS, NUMERIC_ENCODINGS
from models.space.schema import load_space
from models.trials.calibration import InputsByEncoding, Work
from models.trials.data import Kept, encoding_of, forget, prepare
from models.trials.run import run_trial

SPACE = {
    "numeric_encoding": {"type": "choice", "values": list(NUMERIC_ENCODINGS)},
    "bins": {"type": "int", "min": 2, "max": 16},
    "frequencies": {"type": "int", "min": 1, "max": 8},
    "frequency_scale": {"type": "float", "min": 0.01, "max": 1.0, "sampling": "log"},
    "numeric_embedding_size": {"type": "int", "min": 1, "max": 8},
    "category_encoding": {"type": "choice", "values": list(CATEGORY_ENCODINGS)},
    "category_embedding_size": {"type": "int", "min": 1, "max": 3},
    "missing_indicators": {"type": "boolean"},
    "num_layers": 1,
    "units": 4,
}


@pytest.fixture
def mixed(stored):
    """Numbers, one with gaps, one constant, a flag, and categories of few and many values."""

    def store(task=Task.REGRESSION):
        generator = np.random.default_rng(0)
        number, gaps, y = generator.normal(size=(3, 400))
        gaps[::7] = np.nan
        colours = np.array(["red", "green", "blue", "grey", None], dtype=object)
        shops = np.array([f"shop {each}" for each in range(90)], dtype=object)
        columns = {
            "number": number,
            "gaps": gaps,
            "same": np.full(400, 3.0),
            "flag": np.arange(400) % 2.0,
            "colour": colours[generator.integers(5, size=400)],
            "shop": shops[np.arange(400) % 90],
            "y": y if task is Task.REGRESSION else np.digitize(y, [-0.5, 0.5]).astype(float),
        }
        kinds = {"flag": "boolean", "colour": "category", "shop": "category"}
        return stored(columns, task=task, types=kinds)

    return store


def test_values_name_their_encoding():
    trained: Values = {"numeric_encoding": "periodic", "category_encoding": "embedding"}
    bins: Values = {"numeric_encoding": "piecewise", "bins": 9}
    by_target: Values = {"category_encoding": "target", "missing_indicators": True}
    assert encoding_of({}) == encoding_of(trained) == STANDARD
    assert encoding_of(bins) == Encoding(NumericEncoding.PIECEWISE, 9)
    assert encoding_of(by_target | {"numeric_encoding": "robust"}) == Encoding(
        NumericEncoding.ROBUST, 0, CategoryEncoding.TARGET, missing_indicators=True
    )


def test_rows_are_prepared_once_for_each_encoding(line):
    robust = Encoding(NumericEncoding.ROBUST)
    standard, other = prepare(line), prepare(line, robust)
    assert prepare(replace(line)) is standard
    assert prepare(line, Encoding(NumericEncoding.ROBUST)) is other
    assert not np.array_equal(standard.folds[0].training.x_train, other.folds[0].training.x_train)
    forget()
    assert prepare(line) is not standard


def test_prepared_rows_take_bounded_memory():
    kept = Kept[str](10, least=1)
    for name in ("a", "b", "a long name"):
        assert kept.get(name, partial(str, name), len) == name
    # The last one stays, however large; what it displaced is made again.
    assert kept.get("a long name", lambda: "again", len) == "a long name"
    assert kept.get("a", lambda: "again", len) == "again"
    nothing = Kept[str](3, least=0)
    assert nothing.get("long", lambda: "long", len) == "long"
    assert nothing.get("long", lambda: "again", len) == "again"


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.MULTICLASS])
def test_the_inputs_of_an_encoding_are_known_before_its_rows_are_prepared(mixed, task):
    data = mixed(task)
    inputs = InputsByEncoding(prepare(data).folds[0])
    for numeric in NumericEncoding:
        for category in CategoryEncoding:
            for missing in (False, True):
                bins = 7 if numeric is NumericEncoding.PIECEWISE else 0
                encoding = Encoding(numeric, bins, category, missing)
                [fold] = prepare(data, encoding).folds
                assert inputs.of(encoding) == fold.training.inputs


def test_a_search_over_all_encodings_trains_networks_of_the_forecast_size(mixed, trial):
    space, generator = load_space(SPACE, "mlp"), random.Random(0)
    data = mixed()
    inputs = InputsByEncoding(prepare(data).folds[0])
    tried = [draw(space, generator) for _ in range(30)]
    assert {values["numeric_encoding"] for values in tried} == set(NUMERIC_ENCODINGS)
    assert {values["category_encoding"] for values in tried} == set(CATEGORY_ENCODINGS)
    for values in tried:
        result = run_trial(trial(data, values=values, epochs=1))
        assert result.failure is None, result.failure
        assert result.trainer == "numpy"
        expected = inputs.of(encoding_of(values))
        work = Work.of("mlp", values, prepare(data).folds[0].training, expected)
        assert result.parameters == work.size.parameters


def test_defaults_train_as_if_they_were_not_named(mixed, trial):
    data = mixed()
    plain = run_trial(trial(data, epochs=2))
    named: Values = {"numeric_encoding": "standard", "category_encoding": "one_hot"}
    rows = prepare(data, encoding_of(named)).folds[0].training
    assert rows is prepare(data).folds[0].training
    assert rows.inputs == Inputs((4 + 5 + 64 + 1,), 4, (5, 64))
    assert run_trial(trial(data, values=named, epochs=2)).parameters == plain.parameters
