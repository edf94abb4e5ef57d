import pytest
from marshmallow import ValidationError

from models.space.hyperparameters import HYPERPARAMETERS, Condition
from models.space.schema import load_space

LAYERED = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "int", "min": 8, "max": 32, "step": 8, "per_layer": True},
    "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
    "momentum": {"type": "choice", "values": [0.0, 0.9], "when": {"optimizer": ["sgd"]}},
    "dropout": 0.2,
}


@pytest.fixture
def space():
    return load_space(LAYERED, "mlp")


def names(space):
    return [dimension.name for dimension in space.dimensions]


def test_dimensions_come_parents_first_with_one_for_each_layer(space):
    order = names(space)
    assert sorted(order) == [
        "momentum",
        "num_layers",
        "optimizer",
        "units_1",
        "units_2",
        "units_3",
    ]
    assert order.index("num_layers") < order.index("units_1") < order.index("units_3")
    assert order.index("optimizer") < order.index("momentum")


def test_a_layer_is_active_where_there_are_so_many(space):
    third = next(d for d in space.dimensions if d.name == "units_3")
    assert (third.hyperparameter, third.layer) == ("units", 3)
    assert third.active({"num_layers": 3})
    assert not third.active({"num_layers": 2})
    assert not third.active({})


def test_the_order_of_the_document_does_not_matter(space):
    again = load_space(dict(reversed(LAYERED.items())), "mlp")
    assert again == space
    assert again.dimensions == space.dimensions


def test_size_counts_the_active_combinations(space):
    # Layers: 4 + 16 + 64; optimizers: adam, rmsprop, and sgd with two momenta.
    assert space.size() == (4 + 16 + 64) * (1 + 1 + 2)
    assert load_space({"units": 8}, "mlp").size() == 1
    assert load_space({"dropout": {"type": "float", "min": 0, "max": 0.5}}, "mlp").size() is None


def test_resolve_gives_the_full_values_and_flatten_the_way_back(space):
    flat = {"num_layers": 2, "units_1": 8, "units_2": 32, "optimizer": "sgd", "momentum": 0.9}
    values = space.resolve(flat)
    assert values["units"] == [8, 32]
    assert values["momentum"] == 0.9
    assert values["dropout"] == 0.2
    assert values["learning_rate"] == HYPERPARAMETERS["learning_rate"].default
    assert set(values) == {name for name, row in space.known.items() if not row.optional}
    assert space.flatten(values) == flat
    assert space.covers(values)


def test_what_has_no_effect_is_left_out(space):
    values = space.resolve({"num_layers": 1, "units_1": 8, "optimizer": "adam"})
    assert "momentum" not in values
    # rmsprop has momentum, but this space searches it for sgd alone.
    assert "momentum" not in space.resolve({"num_layers": 1, "units_1": 8, "optimizer": "rmsprop"})


def test_momentum_is_conditional_without_being_asked():
    space = load_space(
        {
            "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
            "momentum": {"type": "choice", "values": [0.1, 0.9]},
        },
        "mlp",
    )
    assert space.size() == 3
    assert "momentum" not in space.resolve({"optimizer": "adam"})


def test_a_fixed_value_under_a_condition_of_its_own_counts_only_there():
    space = load_space(
        {
            "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
            "momentum": 0.9,
            "l2": {"type": "choice", "values": [0.1, 0.2], "when": {"momentum": [0.9]}},
        },
        "mlp",
    )
    assert space.size() == 3
    assert space.resolve({"optimizer": "sgd", "l2": 0.1})["momentum"] == 0.9
    assert "l2" not in space.resolve({"optimizer": "adam"})


def test_a_linear_model_has_no_layers():
    space = load_space(
        {
            "num_layers": {"type": "int", "min": 0, "max": 2},
            "units": {"type": "choice", "values": [8, 16], "per_layer": True},
            "activation": {"type": "choice", "values": ["relu", "tanh"]},
        },
        "mlp",
    )
    linear = space.resolve({"num_layers": 0})
    assert not {"units", "activation", "dropout", "batch_normalization"} & set(linear)
    assert space.size() == 1 + 2 * 2 + 4 * 2


def test_conditions_chain():
    space = load_space(
        {
            "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
            "momentum": {"type": "choice", "values": [0.1, 0.9]},
            "l2": {"type": "choice", "values": [0.0, 0.5], "when": {"momentum": [0.9]}},
        },
        "mlp",
    )
    assert space.size() == 1 + 1 + 2
    assert "l2" not in space.resolve({"optimizer": "adam"})


def test_a_missing_value_is_an_error(space):
    with pytest.raises(ValueError, match="units_2"):
        space.resolve({"num_layers": 2, "units_1": 8, "optimizer": "adam"})


def test_values_outside_the_space_are_not_covered(space):
    values = space.resolve({"num_layers": 1, "units_1": 8, "optimizer": "adam"})
    assert not space.covers({**values, "units": [9]})
    assert not space.covers({**values, "units": 8})
    assert not space.covers({**values, "units": []})
    assert not space.covers({**values, "dropout": 0.3})
    assert not space.covers({**values, "momentum": 0.9})
    assert not space.covers({name: values[name] for name in values if name != "optimizer"})


def test_check_completes_what_a_user_leaves_out(space):
    values = space.check({"num_layers": 2, "units": [100, 7], "optimizer": "rmsprop"})
    assert values["units"] == [100, 7]
    assert values["dropout"] == 0.2
    assert values["batch_size"] == HYPERPARAMETERS["batch_size"].default
    assert space.check({"optimizer": "rmsprop", "momentum": 0.5})["momentum"] == 0.5
    assert space.check({"units": 5})["units"] == [5, 5]
    assert space.check({"activation": ["tanh", "relu"]})["activation"] == ["tanh", "relu"]
    assert list(space.check({})) == [
        name for name, row in space.known.items() if name != "momentum" and not row.optional
    ]


@pytest.mark.parametrize(
    ("values", "path", "text"),
    [
        ({"unit": 8}, ("unit",), "Did you mean 'units'"),
        ({"units": 0}, ("units",), "at least 1"),
        ({"units": "8"}, ("units",), "whole number"),
        ({"units": None}, ("units",), "whole number"),
        ({"num_layers": 3, "units": [8]}, ("units",), "each of the 3 layers, has 1"),
        ({"num_layers": 2, "units": [8, 0]}, ("units", 1), "at least 1"),
        ({"l2": [0.1, 0.1]}, ("l2",), "one value, not one for each layer"),
        ({"optimizer": "adam", "momentum": 0.5}, ("momentum",), "unless optimizer is sgd"),
        ({"num_layers": 0, "units": 8}, ("units",), "no effect"),
        ({"learning_rate": float("nan")}, ("learning_rate",), "finite"),
    ],
)
def test_check_refuses_at_the_path_of_the_fault(space, values, path, text):
    with pytest.raises(ValidationError) as caught:
        space.check(values)
    messages = caught.value.messages
    assert list(messages) == [path[0]]
    for step in path:
        messages = messages[step]
    assert text in messages[0]


def test_check_does_not_blame_the_child_of_a_broken_parent(space):
    with pytest.raises(ValidationError) as caught:
        space.check({"num_layers": 99, "units": [8], "optimizer": "x", "momentum": 0.1})
    assert set(caught.value.messages) == {"num_layers", "optimizer"}


def test_an_optional_hyperparameter_is_a_value_only_where_it_is_named():
    plain = load_space({"units": 8}, "mlp")
    assert not {row.name for row in HYPERPARAMETERS.values() if row.optional} & {
        *plain.resolve({}),
        *plain.check({}),
    }
    assert plain.check({"beta_1": 0.8})["beta_1"] == 0.8
    named = load_space({"loss": {"type": "choice", "values": ["mse", "huber"]}}, "mlp")
    assert named.resolve({"loss": "huber"})["loss"] == "huber"
    assert named.check({})["loss"] == "mse"
    assert "huber_delta" not in named.check({"loss": "huber"})
    searched = {"type": "float", "min": 0.5, "max": 2.0}
    both = load_space({**named.document(), "huber_delta": searched}, "mlp")
    assert [d.when for d in both.dimensions if d.name == "huber_delta"] == [
        (Condition("loss", ("huber",)),)
    ]


def test_a_hyperparameter_of_another_task_is_refused():
    space = load_space({"loss": "mae"}, "mlp")
    assert space.foreign(space.parameters, "regression") == {}
    assert space.foreign(space.parameters, "binary") == {
        "loss": ["Only for regression; the task is binary."]
    }
    with pytest.raises(ValidationError) as refusal:
        load_space(LAYERED, "mlp").check({"label_smoothing": 0.1, "units": 8}, "regression")
    assert list(refusal.value.normalized_messages()) == ["label_smoothing"]


@pytest.mark.parametrize("members", [None, 1, 8])
def test_a_scaling_layer_needs_a_single_member(members):
    document = {"scaling_layer": {"type": "boolean"}}
    if members is not None:
        document["members"] = members
    if members == 8:
        with pytest.raises(ValidationError, match="Has no effect unless members is 1"):
            load_space(document, "mlp")
        return
    space = load_space(document, "mlp")
    assert space.resolve({"scaling_layer": True})["scaling_layer"] is True
    assert space.check({"scaling_layer": True})["scaling_layer"] is True
    either = load_space(document | {"members": {"type": "choice", "values": [1, 8]}}, "mlp")
    assert "scaling_layer" not in either.resolve({"members": 8})
