import json
import math

import pytest
from marshmallow import Schema, ValidationError, fields

from models.space.parameters import Choice, Fixed, Float, Int
from models.space.schema import SearchSpaceField, load_space

CONTRACT = {
    "num_layers": {"type": "int", "min": 2, "max": 5},
    "units": {"type": "int", "min": 64, "max": 512, "step": 32, "per_layer": True},
    "activation": {"type": "choice", "values": ["selu", "relu"]},
    "dropout": {"type": "float", "min": 0.0, "max": 0.5, "step": 0.1},
    "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
    "momentum": {"type": "float", "min": 0.0, "max": 0.99, "when": {"optimizer": ["sgd"]}},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
    "batch_size": {"type": "choice", "values": [32, 64, 128]},
    "kernel_initializer": "glorot_uniform",
}


def test_the_space_of_the_contract_loads_and_comes_back():
    space = load_space(CONTRACT, "mlp")
    assert space.parameter("units") == Int(64, 512, 32)
    assert space.parameter("dropout") == Float(0.0, 0.5, 0.1)
    assert space.parameter("batch_size") == Choice((32, 64, 128))
    assert space.parameter("kernel_initializer") == Fixed("glorot_uniform")
    assert space.parameter("l2") == Fixed(0.0)
    assert load_space(json.loads(json.dumps(space.document())), "mlp") == space


@pytest.mark.parametrize("document", [None, {}])
def test_no_document_gives_the_default_space(document):
    space = load_space(document, "mlp")
    assert {dimension.hyperparameter for dimension in space.dimensions} == {
        "numeric_encoding",
        "num_layers",
        "units",
        "activation",
        "dropout",
        "learning_rate",
        "weight_decay",
        "lr_schedule",
        "batch_size",
    }
    assert space.parameter("optimizer") == Fixed("adam")


def test_a_document_that_names_one_thing_tunes_only_that():
    space = load_space({"units": {"type": "int", "min": 8, "max": 16}}, "mlp")
    assert [dimension.name for dimension in space.dimensions] == ["units"]
    assert space.size() == 9


def entry(**changes):
    return {"type": "float", "min": 0.1, "max": 0.9, **changes}


def units(**changes):
    return {"type": "int", "min": 8, "max": 64, **changes}


OPTIMIZER = {"type": "choice", "values": ["adam", "sgd"]}

BROKEN = [
    # the document
    ([1], "_schema", "Must be an object"),
    ({"unit": 3}, "unit", "Did you mean 'units'"),
    ({"filters": 3}, "filters", "Unknown hyperparameter 'filters'"),
    # fixed values
    ({"units": 0}, "units", "at least 1"),
    ({"units": None}, "units", "whole number"),
    ({"units": [64]}, "units", "whole number"),
    ({"dropout": True}, "dropout", "Must be a number"),
    ({"l2": math.nan}, "l2", "finite"),
    ({"activation": "rleu"}, "activation", "Did you mean 'relu'"),
    # the type
    ({"units": {"min": 1, "max": 2}}, "units.type", "Missing"),
    ({"units": {"type": "integer", "min": 1, "max": 2}}, "units.type", "Unknown type 'integer'"),
    ({"units": {"type": ["int"]}}, "units.type", "Unknown type"),
    ({"units": entry()}, "units.type", "takes int or choice, not float"),
    ({"dropout": units(min=0, max=0)}, "dropout.type", "takes float or choice"),
    ({"optimizer": {"type": "boolean"}}, "optimizer.type", "takes choice"),
    # the range
    ({"units": {"type": "int", "max": 9}}, "units.min", "Missing data"),
    ({"units": units(min=65)}, "units.min", "above max (64)"),
    ({"units": units(min=0)}, "units.min", "at least 1"),
    ({"units": units(max=10**400)}, "units.max", "at most 4096"),
    ({"units": units(min=True)}, "units.min", "whole number"),
    ({"units": units(min="8")}, "units.min", "whole number"),
    ({"units": units(min=8.0)}, "units.min", "whole number"),
    ({"units": units(stop=3)}, "units.stop", "Unknown field"),
    ({"dropout": entry(min=True)}, "dropout.min", "Must be a number"),
    ({"dropout": entry(min="0.1")}, "dropout.min", "Must be a number"),
    ({"dropout": entry(min=math.nan)}, "dropout.min", "finite"),
    ({"dropout": entry(max=math.inf)}, "dropout.max", "finite"),
    ({"dropout": entry(max=10**400)}, "dropout.max", "finite"),
    ({"dropout": entry(min=0.0, sampling="log")}, "dropout.min", "above 0"),
    ({"learning_rate": entry(min=0.0)}, "learning_rate.min", "above 0"),
    ({"l2": entry(min=1e-320, sampling="log")}, "l2.min", "too small"),
    ({"dropout": entry(sampling="logarithmic")}, "dropout.sampling", "Must be one of"),
    # the step
    ({"units": units(step=0)}, "units.step", "above 0"),
    ({"units": units(step=-8)}, "units.step", "above 0"),
    ({"units": units(step=57)}, "units.step", "larger than the range"),
    ({"units": units(step=1, sampling="log")}, "units.step", "above 1"),
    ({"units": units(step=9, sampling="log")}, "units.step", "larger than the range"),
    ({"units": units(step=1.5)}, "units.step", "whole number"),
    ({"dropout": entry(step=0.81)}, "dropout.step", "larger than the range"),
    ({"dropout": entry(step=1e-7)}, "dropout.step", "too small"),
    ({"dropout": entry(step=math.nan)}, "dropout.step", "finite"),
    # choices
    ({"activation": {"type": "choice"}}, "activation.values", "Missing data"),
    ({"activation": {"type": "choice", "values": []}}, "activation.values", "Shorter"),
    ({"activation": {"type": "choice", "values": "relu"}}, "activation.values", "Not a valid list"),
    (
        {"activation": {"type": "choice", "values": ["relu", "relu"]}},
        "activation.values",
        "more than once: relu",
    ),
    ({"l2": {"type": "choice", "values": [1, 1.0]}}, "l2.values", "more than once"),
    (
        {"activation": {"type": "choice", "values": ["relu", "rleu"]}},
        "activation.values.1",
        "Did you mean 'relu'",
    ),
    ({"batch_size": {"type": "choice", "values": [32, True]}}, "batch_size.values.1", "whole"),
    ({"batch_size": {"type": "choice", "values": [0]}}, "batch_size.values.0", "at least 1"),
    # layers
    ({"l2": entry(per_layer=True)}, "l2.per_layer", "not a property of a layer"),
    ({"units": units(per_layer="yes")}, "units.per_layer", "true or false"),
    # conditions
    ({"l2": entry(when={"l2": [0.1]})}, "l2.when.l2", "Cannot depend on itself"),
    ({"l2": entry(when={"optimizer": ["sgd"]})}, "l2.when.optimizer", "not in this search space"),
    ({"l2": entry(when={"optimiser": ["sgd"]})}, "l2.when.optimiser", "Did you mean 'optimizer'"),
    (
        {"optimizer": OPTIMIZER, "l2": entry(when={"optimizer": ["adam", "rmsprop"]})},
        "l2.when.optimizer.1",
        "never takes 'rmsprop'",
    ),
    (
        {"optimizer": "adam", "l2": entry(when={"optimizer": ["sgd"]})},
        "l2.when.optimizer.0",
        "never takes 'sgd'",
    ),
    (
        {"optimizer": OPTIMIZER, "l2": entry(when={"optimizer": ["sdg"]})},
        "l2.when.optimizer.0",
        "Did you mean 'sgd'",
    ),
    (
        {"optimizer": OPTIMIZER, "l2": entry(when={"optimizer": []})},
        "l2.when.optimizer",
        "at least one",
    ),
    (
        {"optimizer": OPTIMIZER, "l2": entry(when={"optimizer": "sgd"})},
        "l2.when.optimizer",
        "Must be a list",
    ),
    ({"optimizer": OPTIMIZER, "l2": entry(when=["optimizer"])}, "l2.when", "Must be an object"),
    ({"dropout": entry(), "l2": entry(when={"dropout": [0.5]})}, "l2.when.dropout", "continuous"),
    (
        {"units": units(per_layer=True), "l2": entry(when={"units": [8]})},
        "l2.when.units",
        "for each layer",
    ),
    (
        {"optimizer": OPTIMIZER, "num_layers": units(min=1, max=2, when={"optimizer": ["sgd"]})},
        "num_layers.when",
        "always in effect",
    ),
    (
        {
            "batch_size": units(when={"lr_schedule": ["cosine"]}),
            "lr_schedule": {
                "type": "choice",
                "values": ["cosine"],
                "when": {"batch_size": [8]},
            },
        },
        "lr_schedule.when",
        "lr_schedule → batch_size → lr_schedule",
    ),
    # what could never have an effect
    ({"momentum": 0.9}, "momentum", "unless optimizer is sgd or rmsprop, here it is adam"),
    (
        {"optimizer": OPTIMIZER, "momentum": entry(when={"optimizer": ["adam"]})},
        "momentum",
        "no effect",
    ),
    ({"num_layers": 0, "units": 64}, "units", "unless num_layers is from 1 to 20, here it is 0"),
]


def messages_at(messages, path):
    for step in path.split("."):
        messages = messages[int(step) if step.isdigit() else step]
    return messages


@pytest.mark.parametrize(("document", "path", "text"), BROKEN)
def test_a_broken_document_is_refused_at_the_path_of_the_fault(document, path, text):
    with pytest.raises(ValidationError) as caught:
        load_space(document, "mlp")
    messages = messages_at(caught.value.normalized_messages(), path)
    assert isinstance(messages, list)
    assert text in messages[0]


def test_every_fault_of_a_document_is_reported_at_once():
    with pytest.raises(ValidationError) as caught:
        load_space({"units": units(min=0, step=0), "dropout": 2, "nope": 1}, "mlp")
    assert set(caught.value.messages) == {"units", "dropout", "nope"}


def test_an_unknown_network_is_refused():
    with pytest.raises(ValidationError, match=r"Unknown network 'mpl'. Did you mean 'mlp'"):
        load_space(None, "mpl")


def test_a_range_of_one_value_is_allowed():
    space = load_space({"units": units(min=64, step=8), "dropout": entry(min=0.9)}, "mlp")
    assert space.size() == 1


def test_values_of_a_condition_are_read_as_the_parent_keeps_them():
    space = load_space(
        {
            "dropout": {"type": "float", "min": 0, "max": 0.4, "step": 0.1},
            "l2": entry(when={"dropout": [0.30000000000000004, 0]}),
        },
        "mlp",
    )
    assert space.parameters["l2"].when[0].values == (0.3, 0.0)


class TuneSchema(Schema):
    network = fields.String()
    search_space = SearchSpaceField()


def test_the_field_reads_and_writes_a_space_and_nests_the_messages():
    loaded = TuneSchema().load({"network": "mlp", "search_space": {"units": 8}})
    assert loaded["search_space"] == load_space({"units": 8}, "mlp")
    assert TuneSchema().dump(loaded)["search_space"] == {"units": 8}
    with pytest.raises(ValidationError) as caught:
        TuneSchema().load({"search_space": {"units": units(min=0)}})
    assert "at least 1" in caught.value.messages_dict["search_space"]["units"]["min"][0]
