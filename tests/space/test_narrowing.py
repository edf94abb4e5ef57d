import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.space.hyperparameters import Value
from models.space.narrowing import narrow
from models.space.parameters import Fixed
from models.space.schema import load_space
from tests.space.test_space_properties import documents, loadable


def narrowed(document, *trials):
    """The document of the narrowed space; trials are dimensions' values."""
    space = load_space(document, "mlp")
    best = [space.resolve(trial) for trial in trials]
    assert all(space.covers(values) for values in best)
    return narrow(space, best).document()


@st.composite
def combinations(draw, space):
    """The values of one trial that an oracle could propose."""
    flat: dict[str, Value] = {}
    for dimension in space.dimensions:
        if dimension.active(flat):
            options = dimension.parameter.options()
            if options is None:
                low, high = dimension.parameter.min, dimension.parameter.max
                flat[dimension.name] = draw(st.floats(low, high))
            else:
                flat[dimension.name] = draw(st.sampled_from(options))
    return space.resolve(flat)


@settings(deadline=None, max_examples=300)
@given(documents(), st.data())
def test_a_narrowed_space_is_valid_inside_the_old_one_and_covers_the_best(drawn, data):
    network, document = drawn
    space = loadable(network, document)
    assume(space is not None)
    best = data.draw(st.lists(combinations(space), min_size=1, max_size=4))
    small = narrow(space, best)

    written = json.loads(json.dumps(small.document(), allow_nan=False))
    assert load_space(written, network) == small
    for values in best:
        assert small.covers(values)
    assert space.covers(data.draw(combinations(small)))
    if space.size() is not None:
        assert small.size() <= space.size()


@settings(deadline=None, max_examples=100)
@given(documents(), st.data())
def test_what_is_fixed_stays_and_nothing_is_added(drawn, data):
    network, document = drawn
    space = loadable(network, document)
    assume(space is not None)
    small = narrow(space, data.draw(st.lists(combinations(space), min_size=1, max_size=4)))
    assert set(small.parameters) <= set(space.parameters)
    for name, entry in space.parameters.items():
        if isinstance(entry.parameter, Fixed) and name in small.parameters:
            assert small.parameters[name].parameter == entry.parameter


@pytest.mark.parametrize(
    ("entry", "seen", "expected"),
    [
        # One step on either side.
        ({"min": 16, "max": 128, "step": 16}, [48, 64], (32, 80)),
        ({"min": 16, "max": 128, "step": 16}, [16, 128], (16, 128)),
        ({"min": 4, "max": 256, "step": 2, "sampling": "log"}, [32], (16, 64)),
        # A tenth of the old range, at least one.
        ({"min": 1, "max": 1001}, [400, 500], (300, 600)),
        ({"min": 1, "max": 5}, [3], (2, 4)),
        ({"min": 1, "max": 1024, "sampling": "log"}, [32], (16, 64)),
    ],
)
def test_ranges_of_whole_numbers(entry, seen, expected):
    entry = {"type": "int"} | entry
    found = narrowed({"batch_size": entry}, *({"batch_size": value} for value in seen))
    low, high = expected
    assert found == {"batch_size": entry | {"min": low, "max": high}}


@pytest.mark.parametrize(
    ("entry", "seen", "expected"),
    [
        ({"min": 0.0, "max": 0.5, "step": 0.1}, [0.2, 0.3], (0.1, 0.4)),
        ({"min": 0.0, "max": 0.5}, [0.2, 0.3], (0.15, 0.35)),
        ({"min": 0.0, "max": 0.5}, [0.02, 0.123456], (0.0, 0.173)),
        ({"min": 1e-4, "max": 1e-1, "sampling": "log"}, [1e-3], (5.01e-4, 2e-3)),
        ({"min": 0.3, "max": 0.3}, [0.3], (0.3, 0.3)),
    ],
)
def test_ranges_of_numbers(entry, seen, expected):
    found = narrowed({"l2": {"type": "float"} | entry}, *({"l2": value} for value in seen))["l2"]
    assert (found["min"], found["max"]) == pytest.approx(expected)
    assert found.get("step") == entry.get("step")
    assert found.get("sampling") == entry.get("sampling")


def test_choices_keep_what_occurs_in_their_own_order():
    document = {
        "activation": {"type": "choice", "values": ["relu", "tanh", "selu"]},
        "batch_normalization": {"type": "boolean"},
        "l2": 0.5,
    }
    trials = [
        {"activation": activation, "batch_normalization": True} for activation in ("selu", "relu")
    ]
    assert narrowed(document, *trials) == {
        "activation": {"type": "choice", "values": ["relu", "selu"]},
        "batch_normalization": {"type": "choice", "values": [True]},
        "l2": 0.5,
    }


def test_layers_and_their_number_are_ranges_like_any_other():
    document = {
        "num_layers": {"type": "int", "min": 1, "max": 8},
        "units": {"type": "int", "min": 8, "max": 128, "step": 8, "per_layer": True},
    }
    found = narrowed(document, {"num_layers": 3, "units_1": 64, "units_2": 32, "units_3": 40})
    assert (found["num_layers"]["min"], found["num_layers"]["max"]) == (2, 4)
    assert (found["units"]["min"], found["units"]["max"]) == (24, 72)
    assert found["units"]["per_layer"]


MOMENTUM = {"type": "float", "min": 0.0, "max": 0.9}


def test_what_can_have_no_effect_any_more_is_left_out():
    document = {
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
        "momentum": MOMENTUM | {"when": {"optimizer": ["sgd"]}},
    }
    assert narrowed(document, {"optimizer": "adam"}) == {
        "optimizer": {"type": "choice", "values": ["adam"]}
    }


def test_a_condition_keeps_only_what_its_parent_still_takes():
    document = {
        "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
        "momentum": MOMENTUM | {"when": {"optimizer": ["sgd", "rmsprop"]}},
    }
    found = narrowed(document, {"optimizer": "sgd", "momentum": 0.5}, {"optimizer": "adam"})
    assert found["optimizer"]["values"] == ["adam", "sgd"]
    assert found["momentum"]["when"] == {"optimizer": ["sgd"]}


def test_a_parent_stays_wide_where_its_child_would_begin_to_count():
    """Without its entry dropout would be in effect for every optimizer, as 0."""
    document = {
        "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
        "dropout": {"type": "float", "min": 0.1, "max": 0.5, "when": {"optimizer": ["sgd"]}},
    }
    assert narrowed(document, {"optimizer": "adam"}) == document
    document["momentum"] = MOMENTUM
    assert narrowed(document, {"optimizer": "adam"}) == document


def test_an_encoding_that_is_gone_takes_its_numbers_with_it():
    document = {
        "numeric_encoding": {"type": "choice", "values": ["standard", "piecewise", "periodic"]},
        "bins": {"type": "int", "min": 4, "max": 64},
        "frequencies": {"type": "int", "min": 4, "max": 16, "step": 4},
    }
    trials = [
        {"numeric_encoding": "standard"},
        {"numeric_encoding": "periodic", "frequencies": 8},
    ]
    assert narrowed(document, *trials) == {
        "numeric_encoding": {"type": "choice", "values": ["standard", "periodic"]},
        "frequencies": {"type": "int", "min": 4, "max": 12, "step": 4},
    }
