import itertools
import json
import operator
import random
from functools import partial

import numpy as np
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from models.data.preparation.tasks import Task
from models.networks.outputs import Outputs
from models.oracles.strategy import Bayesian, Hyperband, Random, plan
from models.space.drawing import draw
from models.space.hyperparameters import NETWORKS, Kind, Value, hyperparameters_of
from models.space.parameters import Combinations, Fixed
from models.space.schema import load_space
from models.trials.trainers.base import Run, TrainingData
from models.trials.trainers.choice import choose_trainer


def numbers(row):
    if row.kind is Kind.INT:
        return st.integers(int(row.minimum), min(int(row.maximum), 40))
    low = 1e-6 if row.open_below else row.minimum
    high = row.maximum - 1e-6 if row.open_above else row.maximum
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def ranges(draw, row):
    low, high = sorted([draw(numbers(row)), draw(numbers(row))])
    entry = {"type": row.kind.value, "min": low, "max": high}
    log = low > 0 and high / low < 1e12 and draw(st.booleans())
    if log:
        entry["sampling"] = "log"
    if draw(st.booleans()):
        if row.kind is Kind.INT:
            step = draw(st.integers(2 if log else 1, 6))
        else:
            step = draw(st.floats(1.5, 10)) if log else draw(st.floats(0.001, 0.5))
        width = high / low if log else high - low
        # A range of more than 100,000 values is refused.
        if low == high or (step <= width and (log or width < 50_000 * step)):
            entry["step"] = step
    return entry


@st.composite
def entries(draw, row):
    if row.kind is Kind.BOOLEAN:
        return draw(st.sampled_from([True, False, {"type": "boolean"}]))
    choice = st.sampled_from(row.choices) if row.choices else numbers(row)
    kinds = ["fixed", "choice"] if row.choices else ["fixed", "choice", "range"]
    match draw(st.sampled_from(kinds)):
        case "fixed":
            return draw(choice)
        case "choice":
            values = draw(st.lists(choice, min_size=1, max_size=4, unique=True))
            return {"type": "choice", "values": values}
    return draw(ranges(row))


@st.composite
def documents(draw):
    """Networks with valid documents; each condition leans on a name earlier in the table."""
    network = draw(st.sampled_from(NETWORKS))
    table = hyperparameters_of(network)
    document = {}
    for name in draw(st.lists(st.sampled_from(list(table)), unique=True, min_size=1)):
        document[name] = draw(entries(table[name]))
    document = {name: document[name] for name in table if name in document}
    document = with_effect(table, document)
    assume(document)
    space = load_space(document, network)
    for name, entry in document.items():
        if not isinstance(entry, dict):
            continue
        if table[name].layers and draw(st.booleans()):
            entry["per_layer"] = True
        earlier = [
            parent
            for parent in itertools.takewhile(partial(operator.ne, name), document)
            if not (isinstance(document[parent], dict) and document[parent].get("per_layer"))
            and space.parameter(parent).options() is not None
        ]
        counts = any(row.layers == name for row in table.values())
        if not counts and earlier and draw(st.booleans()):
            parent = draw(st.sampled_from(earlier))
            options = space.parameter(parent).options()
            assert options is not None
            values = draw(
                st.lists(st.sampled_from(options[:50]), min_size=1, max_size=3, unique=True)
            )
            entry["when"] = {parent: values}
    return network, document


def with_effect(table, document):
    """The entries whose own conditions may hold, such as that of momentum on the optimizer."""

    def values(name):
        entry = document.get(name, table[name].default)
        if not isinstance(entry, dict):
            return [entry]
        return entry.get("values") or range(entry["min"], entry["max"] + 1, entry.get("step", 1))

    return {
        name: entry
        for name, entry in document.items()
        if all(set(each.values) & set(values(each.parent)) for each in table[name].when)
    }


def loadable(network, document):
    # A `when` beside the condition that always holds (a layer's number of layers, momentum's
    # optimizer) may leave nothing; the loader refuses that, rightly, and only that.
    try:
        return load_space(document, network)
    except ValidationError as error:
        if "Has no effect" not in str(error):
            raise
        return None


@settings(deadline=None, max_examples=200)
@given(documents(), st.data())
def test_any_valid_document_loads_comes_back_and_gives_consistent_values(drawn, data):
    network, document = drawn
    space = loadable(network, document)
    assume(space is not None)

    written = json.loads(json.dumps(space.document(), allow_nan=False, sort_keys=True))
    again = load_space(written, network)
    assert again == space
    assert again.dimensions == space.dimensions

    flat: dict[str, Value] = {}
    for dimension in space.dimensions:
        if dimension.active(flat):
            options = dimension.parameter.options()
            if options is None:
                low, high = dimension.parameter.min, dimension.parameter.max
                flat[dimension.name] = data.draw(st.floats(low, high))
            else:
                flat[dimension.name] = data.draw(st.sampled_from(options))
    values = space.resolve(flat)
    assert space.flatten(values) == flat
    assert space.covers(values)
    assert space.check(values) == values
    assert space.resolve(space.flatten(json.loads(json.dumps(values)))) == values


@settings(deadline=None, max_examples=100)
@given(documents())
def test_size_is_what_counting_one_by_one_finds(drawn):
    space = loadable(*drawn)
    assume(space is not None)
    size = space.size()
    if size is None:
        assert any(dimension.parameter.options() is None for dimension in space.dimensions)
        return
    assume(size <= 2000)
    found = set()

    def walk(index, flat):
        if index == len(space.dimensions):
            found.add(json.dumps(space.resolve(flat), sort_keys=True))
            return
        dimension = space.dimensions[index]
        if not dimension.active(flat):
            walk(index + 1, flat)
            return
        for value in dimension.parameter.options():
            walk(index + 1, {**flat, dimension.name: value})

    walk(0, {})
    assert len(found) == size


@settings(deadline=None, max_examples=100)
@given(documents(), st.integers(0, 10**9))
def test_combinations_hold_only_values_that_a_grid_takes_and_no_inactive_ones(drawn, index):
    space = loadable(*drawn)
    assume(space is not None)
    grid = Combinations(space.dimensions, lambda dimension: dimension.parameter.points(3))
    for place in {0, index % grid.count, grid.count - 1}:
        flat = grid.at(place)
        assert space.flatten(space.resolve(flat)) == flat
        assert space.covers(space.resolve(flat))
    if grid.count < 1000:
        every = [grid.at(place) for place in range(grid.count)]
        assert len({str(sorted(flat.items())) for flat in every}) == grid.count
    assert all(not isinstance(dimension.parameter, Fixed) for dimension in space.dimensions)


# One step: a batch of three rows, one of them validated on.
INPUTS = {"mlp": (3, 4), "cnn": (3, 5, 5, 1)}
TASKS = {Task.REGRESSION: [0.5, -1, 2], Task.BINARY: [0, 1, 1], Task.MULTICLASS: [0, 1, 2]}


def train_one_step(drawn, task, seed, trainer):
    network, document = drawn
    space = loadable(network, document)
    assume(space is not None)
    for strategy in (Random(), Bayesian(), Hyperband(max_epochs=2)):
        planned = plan(strategy, space, max_trials=5, epochs=2)
        assert 1 <= planned.trials <= 5
        assert planned.space_size == space.size()

    values = draw(space, random.Random(seed))
    assert space.covers(values)
    assert space.check(values) == values
    x = np.random.default_rng(seed).normal(size=INPUTS[network]).astype(np.float32)
    y = np.array(TASKS[task], np.float32 if task is Task.REGRESSION else np.int64)
    data = TrainingData(x, y, x[:1], y[:1], Outputs.of(task, 3))
    chosen = choose_trainer(network, values, data)
    assume(chosen.name == trainer)
    [result] = chosen.train([Run(0, 0, 1, network, values, epochs=1)], [data])
    assert result.epochs == 1
    assert all(len(losses) == 1 for losses in result.history.values())
    if not result.diverged:
        assert np.isfinite(result.validation_outputs).all()
        assert result.validation_outputs.shape == (1, data.outputs.units)


# Shrinking would train for minutes.
in_order = partial(
    settings, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
)


@in_order(max_examples=30)
@given(documents(), st.sampled_from(list(TASKS)), st.integers(0, 2**30))
def test_any_valid_document_is_planned_and_trains_one_step(drawn, task, seed):
    train_one_step(drawn, task, seed, "numpy")


@in_order(max_examples=2)
@given(documents(), st.sampled_from(list(TASKS)), st.integers(0, 2**30))
def test_any_valid_document_trains_one_step_in_keras(drawn, task, seed):
    train_one_step(drawn, task, seed, "keras")
