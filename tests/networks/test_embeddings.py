"""The trained encodings: their layers, their values, their files."""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from models.data.preparation.tasks import Task
from models.networks.families import build
from models.networks.inputs import Coding, Inputs, Stage, plan_stage
from models.networks.outputs import Outputs
from models.networks.size import size_of
from models.registry.onnx.network import network_graph
from models.space.drawing import Values

INPUTS = Inputs((12,), 3, (2, 5))
PERIODIC: Values = {"numeric_encoding": "periodic", "frequencies": 4, "numeric_embedding_size": 6}
EMBEDDING: Values = {"category_encoding": "embedding", "category_embedding_size": 3}
REGRESSION = Outputs.of(Task.REGRESSION)
CHOICES = [
    (PERIODIC, INPUTS, 3 * 6 + 9),
    (EMBEDDING, INPUTS, 5 + 3 + 2),
    (PERIODIC | EMBEDDING, INPUTS, 3 * 6 + 2 + 3 + 2),
    (PERIODIC, Inputs((3,), 3), 3 * 6),
    (EMBEDDING, Inputs((5,), 0, (5,)), 3),
    (PERIODIC | EMBEDDING, Inputs((9,), 1, (4, 4)), 6 + 3 + 3),
]


def planned(values, inputs=INPUTS) -> Stage:
    stage = plan_stage(values, inputs)
    assert stage is not None
    return stage


def network(values, inputs=INPUTS, seed=1):
    return build("mlp", {"num_layers": 1, "units": 4, **values}, inputs, REGRESSION, seed)


def rows(inputs, count=20):
    return np.random.default_rng(0).normal(size=(count, *inputs.shape)).astype(np.float32)


@pytest.mark.parametrize(("values", "inputs", "features"), CHOICES)
def test_the_plan_says_what_the_layers_are(values, inputs, features):
    stage = planned(values, inputs)
    model = network(values, inputs)
    layer = model.get_layer("inputs")
    assert (stage.inputs, stage.outputs) == (inputs.features, features)
    assert layer.output.shape == (None, features)
    assert stage.parameters == layer.count_params()
    size = size_of("mlp", {"num_layers": 1, "units": 4, **values}, inputs, 1)
    assert size.parameters == model.count_params()
    assert size.multiply_adds == stage.multiply_adds + features * 4 + 4


def test_plain_parts_are_joined_and_small_categories_keep_their_places():
    parts = planned(EMBEDDING).parts
    assert [(part.coding, part.width, part.outputs) for part in parts] == [
        (Coding.PLAIN, 5, 5),
        (Coding.EMBEDDING, 5, 3),
        (Coding.PLAIN, 2, 2),
    ]


@pytest.mark.parametrize(
    ("values", "inputs"),
    [
        ({}, INPUTS),
        (PERIODIC, Inputs((7,), 0, (7,))),
        (EMBEDDING, Inputs((5,), 3, (2,))),
        ({"category_encoding": "embedding", "category_embedding_size": 5}, INPUTS),
        (PERIODIC | EMBEDDING, Inputs((8, 8, 1))),
    ],
)
def test_without_anything_to_encode_there_is_no_stage(values, inputs):
    assert plan_stage(values, inputs) is None
    assert "inputs" not in [layer.name for layer in network(values, inputs).layers]


def test_a_periodic_embedding_is_that_of_the_paper():
    model = network(PERIODIC, Inputs((3,), 3))
    x = rows(Inputs((3,)))
    frequencies, kernel, bias = model.get_layer("inputs").get_weights()
    assert (frequencies.shape, kernel.shape, bias.shape) == ((3, 4), (3, 8, 6), (3, 6))
    bias += np.linspace(-0.2, 0.2, 18).reshape(3, 6)
    model.get_layer("inputs").set_weights([frequencies, kernel, bias])
    expected = []
    for number in range(3):
        angles = 2 * np.pi * x[:, number, None] * frequencies[number]
        waves = np.hstack([np.sin(angles), np.cos(angles)])
        expected.append(np.maximum(waves @ kernel[number] + bias[number], 0))
    answers = model.get_layer("inputs")(x)
    np.testing.assert_allclose(answers, np.hstack(expected), rtol=1e-4, atol=1e-5)


def test_an_embedding_is_a_row_of_its_table():
    model = network(EMBEDDING, Inputs((5,), 0, (5,)))
    (table,) = model.get_layer("inputs").get_weights()
    np.testing.assert_allclose(model.get_layer("inputs")(np.eye(5)), table, rtol=1e-6)


def test_initial_weights_follow_from_the_seed_and_the_scale():
    values = PERIODIC | EMBEDDING | {"frequencies": 128, "numeric_embedding_size": 64}
    inputs = Inputs((80,), 30, (50,))
    first, again, other = (network(values, inputs, seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(not np.array_equal(first[n], other[n]) for n in (0, 1, 3))
    assert first[0].std() == pytest.approx(0.1, rel=0.05)
    assert abs(first[1]).max() == pytest.approx(1 / 16, rel=0.01)
    assert np.square(first[3]).sum(axis=1).mean() == pytest.approx(1, rel=0.3)
    wide = network(values | {"frequency_scale": 2.0}, inputs).get_weights()
    np.testing.assert_allclose(wide[0], first[0] * 20, rtol=1e-5)


@pytest.mark.parametrize(("values", "inputs", "features"), CHOICES)
def test_the_graph_answers_as_keras_does(values, inputs, features):
    model = network({**values, "batch_normalization": True}, inputs)
    graph = network_graph(model)
    # Written layer by layer: an export by Keras would have these.
    assert not {node.op_type for node in graph.graph.node} & {"Loop", "Identity", "Cast"}
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    for x in (rows(inputs), rows(inputs, 1), rows(inputs) * 50):
        (answers,) = session.run(None, {"features": x})
        np.testing.assert_allclose(answers, model(x), rtol=1e-4, atol=1e-4)


def test_the_file_of_a_network_needs_keras_alone(tmp_path):
    model = network(PERIODIC | EMBEDDING)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(again(rows(INPUTS)), model(rows(INPUTS)))
