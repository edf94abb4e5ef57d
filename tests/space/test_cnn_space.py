from pathlib import Path
from typing import Any

import pytest
from marshmallow import ValidationError

from models.space.hyperparameters import HYPERPARAMETERS, hyperparameters_of
from models.space.schema import load_space

OWN = {"conv_blocks", "filters", "kernel_size"}
OF_PERCEPTRONS = {"members", "scaling_layer"}


def test_a_cnn_knows_most_of_what_an_mlp_does_and_three_names_more():
    assert set(hyperparameters_of("cnn")) - set(hyperparameters_of("mlp")) == OWN
    others = set(hyperparameters_of("mlp")) - set(hyperparameters_of("cnn"))
    assert {name for name in others if not HYPERPARAMETERS[name].of_columns} == OF_PERCEPTRONS


@pytest.mark.parametrize("name", sorted(OWN))
def test_an_mlp_is_told_whose_they_are(name):
    text = f"Unknown hyperparameter '{name}' of mlp; it is one of cnn."
    with pytest.raises(ValidationError) as caught:
        load_space({name: 2}, "mlp")
    assert caught.value.messages == {name: [text]}
    with pytest.raises(ValidationError) as caught:
        load_space({}, "mlp").check({name: 2})
    assert caught.value.messages == {name: [text]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conv_blocks", 0),
        ("conv_blocks", 11),
        ("filters", 0),
        ("filters", 1025),
        ("kernel_size", 0),
    ],
)
def test_an_illegal_value_is_refused(name, value):
    with pytest.raises(ValidationError, match="Must be at least 1"):
        load_space({name: value}, "cnn")


@pytest.mark.parametrize("name", ["filters", "kernel_size"])
def test_a_value_of_its_own_for_each_block(name):
    space = load_space(
        {
            "conv_blocks": {"type": "int", "min": 1, "max": 3},
            name: {"type": "int", "min": 2, "max": 4, "per_layer": True},
        },
        "cnn",
    )
    assert [d.name for d in space.dimensions] == [
        "conv_blocks",
        *(f"{name}_{n}" for n in (1, 2, 3)),
    ]
    values = space.resolve({"conv_blocks": 2, f"{name}_1": 4, f"{name}_2": 2})
    assert values[name] == [4, 2]
    assert space.size() == 3 + 9 + 27
    assert space.check({"conv_blocks": 2, name: [3, 4]})[name] == [3, 4]
    with pytest.raises(ValidationError, match="one value for each of the 2 layers"):
        space.check({"conv_blocks": 2, name: [3]})


@pytest.mark.parametrize("name", ["activation", "dropout", "batch_normalization"])
def test_what_is_of_blocks_and_dense_layers_alike_counts_without_any_dense_layer(name):
    entries: dict[str, dict[str, Any]] = {
        "activation": {"type": "choice", "values": ["relu", "selu"]},
        "dropout": {"type": "choice", "values": [0.0, 0.2]},
        "batch_normalization": {"type": "boolean"},
    }
    entry = entries[name]
    space = load_space({"num_layers": 0, name: entry}, "cnn")
    assert space.size() == 2
    assert name in space.resolve({name: HYPERPARAMETERS[name].default})
    assert "units" not in space.resolve({name: HYPERPARAMETERS[name].default})
    with pytest.raises(ValidationError, match="is not a property of a layer"):
        load_space({name: {**entry, "per_layer": True}}, "cnn")


def test_the_documentation_says_which_networks_know_a_hyperparameter():
    lines = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    for name, row in HYPERPARAMETERS.items():
        (line,) = [line for line in lines.splitlines() if line.startswith(f"| `{name}` | `")]
        assert line.endswith(f" | {', '.join(row.networks)} |")
