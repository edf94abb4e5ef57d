import math

import pytest
from marshmallow import ValidationError

from models.space.hyperparameters import HYPERPARAMETERS, NETWORKS, Kind, hyperparameters_of
from models.space.schema import load_space


def test_every_network_knows_the_names_of_the_contract():
    for network in NETWORKS:
        assert set(hyperparameters_of(network)) >= {
            "num_layers",
            "units",
            "activation",
            "dropout",
            "optimizer",
            "learning_rate",
            "momentum",
            "batch_size",
            "kernel_initializer",
            "l2",
            "batch_normalization",
            "lr_schedule",
            "weight_decay",
        }


def test_every_default_is_legal_and_every_condition_names_a_legal_value():
    for row in HYPERPARAMETERS.values():
        assert row.parse(row.default) == row.default
        for condition in row.when:
            for value in condition.values:
                assert HYPERPARAMETERS[condition.parent].parse(value) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("units", 0),
        ("units", 4097),
        ("units", 64.0),
        ("units", "64"),
        ("units", True),
        ("dropout", 0.96),
        ("dropout", math.nan),
        ("dropout", True),
        ("learning_rate", 0),
        ("learning_rate", math.inf),
        ("momentum", 1.0),
        ("l2", 10**400),
        ("activation", "reluu"),
        ("activation", 3),
        ("batch_normalization", 1),
    ],
)
def test_an_illegal_value_is_refused(name, value):
    with pytest.raises(ValueError, match=r"Must be|Unknown"):
        HYPERPARAMETERS[name].parse(value)


def test_the_ends_of_a_legal_range_are_legal_unless_open():
    assert HYPERPARAMETERS["learning_rate"].parse(10) == 10.0
    assert HYPERPARAMETERS["num_layers"].parse(0) == 0
    assert HYPERPARAMETERS["dropout"].parse(0.95) == 0.95
    assert HYPERPARAMETERS["momentum"].parse(0) == 0.0


def test_whole_numbers_of_a_float_become_float():
    assert isinstance(HYPERPARAMETERS["l2"].parse(1), float)
    assert HYPERPARAMETERS["units"].kind is Kind.INT


def test_a_misspelt_choice_names_what_was_meant():
    with pytest.raises(ValueError, match="Did you mean 'rmsprop'"):
        HYPERPARAMETERS["optimizer"].parse("rmspropp")


def test_encodings_are_of_columns_and_left_out_of_values_unless_named():
    names = [name for name, row in HYPERPARAMETERS.items() if row.of_columns]
    assert "numeric_encoding" in names
    assert not set(names) & set(hyperparameters_of("cnn"))
    space = load_space({"units": 8}, "mlp")
    assert not set(names) & set(space.resolve({}))
    assert set(space.foreign(names, "regression", has_image=True)) == set(names)
    assert space.foreign(names, "regression") == {}


@pytest.mark.parametrize(
    ("types", "left"),
    [
        ({"number", "category"}, {"numeric_encoding", "category_encoding"}),
        ({"datetime"}, {"numeric_encoding"}),
        ({"category", "text"}, {"category_encoding"}),
        ({"text"}, set()),
        ({"image"}, set()),
    ],
    ids=lambda case: "+".join(sorted(case)),
)
def test_an_encoding_has_an_effect_where_it_has_columns(types, left):
    named = ("units", "numeric_encoding", "category_encoding")
    found = {name for name in named if HYPERPARAMETERS[name].has_effect_on(types)}
    assert found == left | {"units"}


def test_the_numbers_of_an_encoding_belong_to_it_alone():
    space = load_space({"units": 8}, "mlp")
    values = space.check({"numeric_encoding": "piecewise", "bins": 9})
    assert (values["numeric_encoding"], values["bins"]) == ("piecewise", 9)
    assert "frequencies" not in values
    with pytest.raises(ValidationError, match="Has no effect unless numeric_encoding is periodic"):
        space.check({"numeric_encoding": "piecewise", "frequencies": 9})
    with pytest.raises(ValidationError, match="Has no effect unless category_encoding"):
        space.check({"category_embedding_size": 9})
