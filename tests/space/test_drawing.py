import random
from collections import Counter

import pytest

from models.space.defaults import DEFAULT_SPACES
from models.space.drawing import corner, draw, draw_from_grid
from models.space.schema import load_space

SPACES = {
    "default": ("mlp", DEFAULT_SPACES["mlp"]),
    "images": ("cnn", DEFAULT_SPACES["cnn"]),
    "conditional": (
        "mlp",
        {
            "num_layers": {"type": "int", "min": 0, "max": 2},
            "units": {"type": "int", "min": 8, "max": 64, "sampling": "log", "per_layer": True},
            "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
            "momentum": {"type": "float", "min": 0, "max": 0.9, "when": {"optimizer": ["sgd"]}},
        },
    ),
}


@pytest.mark.parametrize("name", SPACES)
def test_what_is_drawn_lies_in_the_space(name):
    network, document = SPACES[name]
    space, generator = load_space(document, network), random.Random(0)
    points = [draw(space, generator) for _ in range(50)]
    for values in [*points, corner(space, 0), corner(space, 1)]:
        assert space.covers(values), values
    assert len({str(values) for values in points}) > 40


def test_the_corners_hold_the_ends_of_every_range_whatever_the_order_of_a_choice():
    space = load_space(
        {
            "num_layers": {"type": "int", "min": 1, "max": 3},
            "units": {"type": "choice", "values": [64, 8, 32]},
            "dropout": {"type": "float", "min": 0.1, "max": 0.3},
            "batch_normalization": {"type": "boolean"},
        },
        "mlp",
    )
    names = ("num_layers", "units", "dropout", "batch_normalization")
    assert [corner(space, 0)[name] for name in names] == [1, 8, 0.1, False]
    assert [corner(space, 1)[name] for name in names] == [3, 64, 0.3, True]


def test_a_grid_has_most_of_its_points_where_there_are_most_layers():
    document = {
        "num_layers": {"type": "int", "min": 1, "max": 2},
        "units": {"type": "int", "min": 1, "max": 9, "per_layer": True},
    }
    points = draw_from_grid(load_space(document, "mlp"), 9, 500, random.Random(0))
    layers = Counter(values["num_layers"] for values in points)
    assert 430 < layers[2] < 470  # of 500: 81 of 90 combinations have two layers
