from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from models.data.dataset import Dataset
from models.data.encoding.onnx_builder import IR_VERSION, ML_OPSET, OPSET
from models.data.encoding.preprocessing import Preprocessor, TargetEncoder
from models.data.formats.reading import from_arrays
from models.data.preparation.tasks import Task
from models.networks import families
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.registry.onnx.model import OnnxAnswers, merge, preprocess
from models.registry.onnx.network import network_graph
from models.space.drawing import Values
from models.space.hyperparameters import HYPERPARAMETERS
from tests.files import from_records

FEATURES = ("area", "garden", "town", "sold", "survey")
ACTIVATIONS = HYPERPARAMETERS["activation"].choices


def fitted(
    dataset: Dataset, features: tuple[str, ...]
) -> tuple[Preprocessor, np.ndarray, np.ndarray]:
    rows = np.arange(dataset.rows)
    preprocessor = Preprocessor.fit(dataset, rows, features)
    return preprocessor, rows, preprocessor.transform(dataset, rows)


def network(shape: tuple[int, ...], task: Task, classes: int = 0, **values: Any) -> keras.Model:
    trial = {"num_layers": 2, "units": 8, "dropout": 0.2, **values}
    return families.build("mlp", trial, Inputs(shape), Outputs.of(task, classes), seed=3)


def test_every_activation_survives(houses: Dataset) -> None:
    preprocessor, rows, x = fitted(houses, FEATURES)
    model = network(
        x.shape[1:],
        Task.REGRESSION,
        num_layers=len(ACTIVATIONS),
        activation=list(ACTIVATIONS),
        batch_normalization=True,
    )
    answers = OnnxAnswers.load(merge([preprocessor], TargetEncoder(Task.REGRESSION), model))
    np.testing.assert_allclose(answers(houses, rows, FEATURES), np.asarray(model(x)), atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation_alone(houses: Dataset, activation: str) -> None:
    preprocessor, rows, x = fitted(houses, FEATURES)
    model = network(x.shape[1:], Task.REGRESSION, num_layers=1, activation=activation)
    answers = OnnxAnswers.load(merge([preprocessor], TargetEncoder(Task.REGRESSION), model))
    np.testing.assert_allclose(answers(houses, rows, FEATURES), np.asarray(model(x)), atol=1e-5)


@pytest.mark.parametrize(("name", "producer"), [("mlp", ""), ("cnn", "tf2onnx")])
def test_only_convolutions_need_the_slow_export_of_keras(name: str, producer: str) -> None:
    values: Values = {"units": 4, "dropout": 0.1, "num_layers": 2}
    if name == "mlp":
        values |= {"num_layers": len(ACTIVATIONS), "activation": list(ACTIVATIONS)}
        values |= {"batch_normalization": [True, *[False] * (len(ACTIVATIONS) - 1)]}
    model = families.build(name, values, Inputs((8, 8, 1)), Outputs.of(Task.MULTICLASS, 3), seed=0)
    graph = network_graph(model)
    onnx.checker.check_model(graph)
    assert graph.producer_name == producer


def test_a_regression_answers_in_its_own_units_even_where_float32_could_not(
    houses: Dataset,
) -> None:
    preprocessor, rows, x = fitted(houses, FEATURES)
    model = network(x.shape[1:], Task.REGRESSION)
    encoder = TargetEncoder(Task.REGRESSION, mean=1.7e9, scale=10.0)
    answers = OnnxAnswers.load(merge([preprocessor], encoder, model))(houses, rows, FEATURES)
    assert answers.dtype == np.float64
    expected = encoder.decode(np.asarray(model(x)))
    np.testing.assert_allclose(answers[:, 0], expected, rtol=0, atol=1e-4)


def test_a_sigmoid_becomes_two_columns(houses: Dataset) -> None:
    preprocessor, rows, x = fitted(houses, FEATURES)
    model = network(x.shape[1:], Task.BINARY)
    encoder = TargetEncoder(Task.BINARY, ("no", "yes"))
    answers = OnnxAnswers.load(merge([preprocessor], encoder, model))(houses, rows, FEATURES)
    second = np.asarray(model(x))
    np.testing.assert_allclose(answers, np.concatenate([1 - second, second], axis=1), atol=1e-6)


def test_a_softmax_keeps_its_columns(houses: Dataset) -> None:
    preprocessor, rows, x = fitted(houses, FEATURES)
    model = network(x.shape[1:], Task.MULTICLASS, 3)
    encoder = TargetEncoder(Task.MULTICLASS, (10, 20, 30))
    answers = OnnxAnswers.load(merge([preprocessor], encoder, model))(houses, rows, FEATURES)
    np.testing.assert_allclose(answers, np.asarray(model(x)), atol=1e-6)


@pytest.mark.parametrize(
    ("task", "values"),
    [*((task, {"members": 5}) for task in Task), (Task.BINARY, {"scaling_layer": True})],
)
def test_adapters_and_members_survive(houses: Dataset, task: Task, values: Values) -> None:
    x = fitted(houses, FEATURES)[2]
    values = values | {"num_layers": 2, "units": 8, "batch_normalization": [True, False]}
    model = families.create("mlp", values, Inputs(x.shape[1:]), Outputs.of(task, 3), seed=3)
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.1, 0.6, each.shape) for each in model.get_weights()])
    graph = network_graph(model)
    onnx.checker.check_model(graph)
    assert graph.producer_name == ""
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (answers,) = session.run(None, {"features": x})
    np.testing.assert_allclose(answers, np.asarray(model(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_images_go_in_as_they_are(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, *shape))
    dataset = from_arrays(pixels, np.arange(9) % 3)
    preprocessor, rows, x = fitted(dataset, ("x",))
    model = network(x.shape[1:], Task.MULTICLASS, 3)
    encoder = TargetEncoder(Task.MULTICLASS, (0, 1, 2))
    answers = OnnxAnswers.load(merge([preprocessor], encoder, model))(dataset, rows, ("x",))
    np.testing.assert_allclose(answers, np.asarray(model(x)), atol=1e-6)


def test_convolutions_survive() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 8))
    dataset = from_arrays(pixels, np.arange(9) % 3)
    preprocessor, rows, x = fitted(dataset, ("x",))
    layers = keras.layers
    signal = features = keras.Input(x.shape[1:])
    signal = layers.Conv2D(4, 3, padding="same", activation="relu")(signal)
    signal = layers.MaxPooling2D(2)(layers.BatchNormalization()(signal))
    signal = layers.Dense(3, activation="softmax")(layers.Flatten()(signal))
    model = keras.Model(features, signal)
    encoder = TargetEncoder(Task.MULTICLASS, (0, 1, 2))
    answers = OnnxAnswers.load(merge([preprocessor], encoder, model))(dataset, rows, ("x",))
    np.testing.assert_allclose(answers, np.asarray(model(x)), atol=1e-6)


def test_columns_may_be_named_like_parts_of_the_graph() -> None:
    names = ("prediction", "features", "network/scaled", "preprocessing/fill", "x 1.é", "wide")
    records = [{name: row * 1.5 + len(name) for name in names} for row in range(12)]
    dataset = from_records(records)
    preprocessor, rows, x = fitted(dataset, names)
    model = network(x.shape[1:], Task.REGRESSION)
    answers = OnnxAnswers.load(merge([preprocessor], TargetEncoder(Task.REGRESSION), model))
    np.testing.assert_allclose(answers(dataset, rows, names), np.asarray(model(x)), atol=1e-5)


def test_the_file_says_what_it_needs(houses: Dataset) -> None:
    preprocessor, _, x = fitted(houses, FEATURES)
    content = merge(
        [preprocessor], TargetEncoder(Task.REGRESSION), network(x.shape[1:], Task.REGRESSION)
    )
    model = onnx.load_from_string(content)
    assert model.ir_version == IR_VERSION
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [
        ("", OPSET),
        ("ai.onnx.ml", ML_OPSET),
    ]
    session = onnxruntime.InferenceSession(content)
    assert [(item.name, item.shape) for item in session.get_outputs()] == [
        ("prediction", ["rows", 1])
    ]
    assert {item.name: (item.type, item.shape) for item in session.get_inputs()} == {
        "area": ("tensor(double)", ["rows"]),
        "garden": ("tensor(double)", ["rows"]),
        "town": ("tensor(string)", ["rows"]),
        "sold": ("tensor(double)", ["rows"]),
        "survey": ("tensor(double)", ["rows"]),
    }


def test_texts_of_each_encoding_are_read_by_their_own_weights() -> None:
    """Folds fit texts to different rows, so their weights differ."""
    halves = np.arange(0, 30), np.arange(30, 60)
    reviews = [{"review": ["good", "bad"][n % 2] + f" {n}", "n": n} for n in range(60)]
    dataset = from_records(reviews, {"review": "text"})
    target = np.array([(n % 2) * (1 if n < 30 else -1) for n in range(60)], np.float32)
    found = [
        Preprocessor.fit_transform(dataset, half, ("review", "n"), target[half], 0)[0]
        for half in halves
    ]
    session = onnxruntime.InferenceSession(preprocess(found).SerializeToString())
    feed = {"review": dataset.values["review"], "n": dataset.values["n"].astype(float)}
    answers = session.run(None, feed)
    assert np.abs(answers[0] - answers[1]).max() > 0.5
    for each, answer in zip(found, answers, strict=True):
        np.testing.assert_allclose(answer, each.transform(dataset, np.arange(60)), atol=1e-5)
