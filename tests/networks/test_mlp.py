import keras
import numpy as np
import pytest

from models.data.preparation.tasks import Task
from models.networks.families import FAMILIES, build
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.networks.steps import Steps
from models.space.hyperparameters import (
    ACTIVATIONS,
    HYPERPARAMETERS,
    INITIALIZERS,
    NETWORKS,
    layer_value,
    value,
)

REGRESSION = Outputs.of(Task.REGRESSION)


def network(values, input_shape=(3,), outputs=REGRESSION, seed=1, steps=None):
    return build("mlp", values, Inputs(input_shape), outputs, seed, steps)


def layer_types(model):
    return [type(layer).__name__ for layer in model.layers]


def test_every_network_of_the_table_can_be_built():
    assert set(FAMILIES) == set(NETWORKS)


def test_defaults_come_from_the_table():
    model = network({})
    assert [layer.units for layer in model.layers if hasattr(layer, "units")] == [64, 64, 1]
    assert value({}, "learning_rate") == HYPERPARAMETERS["learning_rate"].default


@pytest.mark.parametrize("count", [0, 1, 3])
def test_num_layers(count):
    model = network({"num_layers": count, "units": 4})
    assert layer_types(model).count("Dense") == count + 1


def test_no_layers_is_a_linear_model():
    model = network({"num_layers": 0})
    x = np.array([[1, 2, 3], [2, 4, 6]], dtype=np.float32)
    once, twice = np.asarray(model(x))[:, 0]
    assert twice == pytest.approx(2 * once)


def test_units_of_all_layers_and_of_each():
    same = network({"num_layers": 2, "units": 5})
    each = network({"num_layers": 2, "units": [5, 7]})
    assert [same.get_layer(f"dense_{n}").units for n in (1, 2)] == [5, 5]
    assert [each.get_layer(f"dense_{n}").units for n in (1, 2)] == [5, 7]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    model = network({"num_layers": 1, "units": 4, "activation": name})
    layer = model.get_layer("activation_1")
    assert layer.activation is keras.activations.get(name)


def test_activations_differ_in_what_they_compute():
    x = np.linspace(-2, 2, 30, dtype=np.float32).reshape(10, 3)
    outputs = {
        name: np.asarray(network({"num_layers": 1, "activation": name})(x)).tobytes()
        for name in ACTIVATIONS
    }
    assert len(set(outputs.values())) == len(ACTIVATIONS)


def test_dropout_acts_in_training_only():
    model = network({"num_layers": 1, "units": 64, "dropout": 0.5})
    assert model.get_layer("dropout_1").rate == 0.5
    x = np.ones((1, 3), dtype=np.float32)
    assert np.asarray(model(x, training=True)) != np.asarray(model(x, training=False))
    assert "Dropout" not in layer_types(network({"dropout": 0.0}))


def test_dropout_of_each_layer():
    model = network({"num_layers": 2, "dropout": [0.0, 0.3]})
    assert [layer.name for layer in model.layers if "dropout" in layer.name] == ["dropout_2"]


def test_batch_normalization_comes_before_the_activation():
    model = network({"num_layers": 1, "batch_normalization": True, "dropout": 0.1})
    assert layer_types(model) == [
        "InputLayer",
        "Dense",
        "BatchNormalization",
        "Activation",
        "Dropout",
        "Dense",
    ]
    assert "BatchNormalization" not in layer_types(network({"batch_normalization": False}))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_kernel_initializer(name):
    model = network({"num_layers": 1, "units": 4, "kernel_initializer": name})
    expected = type(keras.initializers.get(name))
    assert type(model.get_layer("dense_1").kernel_initializer) is expected
    assert type(model.get_layer("output").kernel_initializer) is expected


def test_kernel_initializers_begin_with_other_weights():
    kernels = {
        name: network({"num_layers": 1, "kernel_initializer": name}).get_weights()[0].tobytes()
        for name in INITIALIZERS
    }
    assert len(set(kernels.values())) == len(INITIALIZERS)


def test_l2_penalises_every_kernel_and_stays_out_of_task_loss():
    x, y = np.ones((4, 3), dtype=np.float32), np.zeros((4, 1), dtype=np.float32)
    model = network({"num_layers": 1, "units": 4, "l2": 0.5})
    kernels = [array for array in model.get_weights() if array.ndim == 2]
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    penalty = 0.5 * sum(float((kernel**2).sum()) for kernel in kernels)
    assert logs["loss"] - logs["task_loss"] == pytest.approx(penalty, rel=1e-4)
    assert network({"l2": 0.0}).losses == []


def test_images_are_flattened():
    model = network({"num_layers": 1, "units": 4}, input_shape=(8, 8, 3))
    assert model(np.zeros((2, 8, 8, 3), dtype=np.float32)).shape == (2, 1)


@pytest.mark.parametrize(
    ("outputs", "units", "activation", "loss", "metric"),
    [
        (Outputs.of(Task.REGRESSION), 1, "linear", "mean_squared_error", "mae"),
        (Outputs.of(Task.BINARY, 2), 1, "sigmoid", "binary_crossentropy", "accuracy"),
        (
            Outputs.of(Task.MULTICLASS, 4),
            4,
            "softmax",
            "sparse_categorical_crossentropy",
            "accuracy",
        ),
    ],
)
def test_outputs_follow_the_task(outputs, units, activation, loss, metric):
    model = network({"num_layers": 0}, outputs=outputs)
    assert model.output_shape == (None, units)
    assert model.get_layer("output").activation is keras.activations.get(activation)
    assert model.loss == loss
    y = np.zeros((2,) if units > 1 else (2, 1), dtype=np.float32)
    logs = model.evaluate(np.ones((2, 3), np.float32), y, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "task_loss", metric}
    assert logs["task_loss"] == pytest.approx(logs["loss"])


def test_a_seed_gives_the_same_weights_again_and_another_seed_others():
    values = {"num_layers": 2, "units": 4}
    first, again, other = (network(values, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    square = network({"num_layers": 2, "units": 3}).get_weights()
    assert not np.array_equal(square[0], square[2])


def test_a_list_is_refused_where_one_value_is_meant():
    with pytest.raises(TypeError, match="learning_rate"):
        value({"learning_rate": [0.1]}, "learning_rate")
    assert layer_value({"units": [3, 4]}, "units", 1) == 4


def test_a_network_is_a_plain_keras_file(tmp_path):
    values = {"num_layers": 1, "units": 4, "lr_schedule": "cosine", "l2": 0.1, "dropout": 0.1}
    model = network(values, steps=Steps(total=10))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={})
    x = np.ones((2, 3), dtype=np.float32)
    assert np.array_equal(np.asarray(model(x)), np.asarray(loaded(x)))
