import keras
import numpy as np
import pytest

from models.data.encoding.preprocessing import Preprocessor, TargetEncoder
from models.data.formats.reading import from_arrays
from models.data.preparation.tasks import Task
from models.errors import Invalid
from models.networks.families import build, summarize, summary_text
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.networks.size import rows_at_once
from models.registry.onnx.model import OnnxAnswers, merge
from models.space.defaults import DEFAULT_SPACES
from models.space.drawing import Values
from models.space.hyperparameters import ACTIVATIONS, Value
from models.space.schema import load_space

CLASSES = Outputs.of(Task.MULTICLASS, 3)
SMALL: Values = {"conv_blocks": 2, "filters": 4, "num_layers": 1, "units": 8}


def network(values, input_shape=(8, 8, 1), outputs=CLASSES, seed=1):
    return build("cnn", values, Inputs(input_shape), outputs, seed)


def layer_types(model):
    return [type(layer).__name__ for layer in model.layers]


def of_type(model, kind):
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def test_a_network_of_the_defaults():
    model = network({})
    assert [layer.filters for layer in of_type(model, "Conv2D")] == [32, 32]
    assert [layer.kernel_size for layer in of_type(model, "Conv2D")] == [(3, 3), (3, 3)]
    assert [layer.units for layer in of_type(model, "Dense")] == [64, 64, 3]
    assert model.output_shape == (None, 3)


def test_a_block_is_convolution_normalization_activation_pooling_dropout():
    model = network(
        {**SMALL, "conv_blocks": 1, "batch_normalization": True, "dropout": 0.1, "num_layers": 0}
    )
    assert layer_types(model) == [
        "InputLayer",
        "Conv2D",
        "BatchNormalization",
        "Activation",
        "MaxPooling2D",
        "Dropout",
        "Flatten",
        "Dense",
    ]


def test_normalization_and_dropout_are_there_only_where_asked_for():
    assert {"BatchNormalization", "Dropout"}.isdisjoint(layer_types(network(SMALL)))


def test_blocks_filters_and_kernels_of_each_block():
    model = network({**SMALL, "conv_blocks": 3, "filters": [2, 5, 7], "kernel_size": [1, 2, 5]})
    convolutions = of_type(model, "Conv2D")
    assert [layer.filters for layer in convolutions] == [2, 5, 7]
    assert [layer.kernel_size[0] for layer in convolutions] == [1, 2, 5]


def test_dense_layers_are_those_of_an_mlp():
    values: Values = {"num_layers": 2, "units": [5, 7], "activation": "tanh", "dropout": 0.2}
    tail = [layer.name for layer in network({**SMALL, **values}).layers]
    tail = tail[tail.index("flatten") + 1 :]
    mlp = [layer.name for layer in build("mlp", values, Inputs((4,)), CLASSES, 1).layers]
    assert tail == mlp[1:]


def test_a_convolution_keeps_the_size_of_its_map_and_pooling_halves_it():
    shapes = {layer.name: layer.output_shape for layer in summarize(network(SMALL, (28, 20, 1)))}
    assert shapes["conv_1"] == (None, 28, 20, 4)
    assert shapes["pool_1"] == (None, 14, 10, 4)
    assert shapes["pool_2"] == (None, 7, 5, 4)
    assert shapes["flatten"] == (None, 7 * 5 * 4)


@pytest.mark.parametrize(
    ("shape", "pools"),
    [
        ((1, 1, 1), []),
        ((2, 3, 1), [(2, 2)]),
        ((1, 6, 1), [(1, 2), (1, 2)]),
        ((5, 5, 3), [(2, 2)] * 2),
    ],
)
def test_small_maps_are_pooled_while_a_side_has_two_pixels(shape, pools):
    model = network({**SMALL, "conv_blocks": 4}, shape)
    assert [layer.pool_size for layer in of_type(model, "MaxPooling2D")] == pools
    assert model(np.zeros((2, *shape), dtype=np.float32)).shape == (2, 3)


def test_pooling_takes_the_largest_of_four():
    model = network({"conv_blocks": 1, "filters": 1, "kernel_size": 1, "activation": "linear"})
    pooled = keras.Model(model.inputs[0], model.get_layer("pool_1").output)
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype(np.float32)
    weight = model.get_layer("conv_1").get_weights()[0].item()
    windows = (x[0, :, :, 0] * weight).reshape(4, 2, 4, 2)
    np.testing.assert_allclose(np.asarray(pooled(x))[0, :, :, 0], windows.max((1, 3)), rtol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_of_a_block(name):
    model = network({**SMALL, "activation": name})
    assert model.get_layer("conv_activation_2").activation is keras.activations.get(name)


def test_initializer_and_penalty_are_of_every_kernel():
    model = network({**SMALL, "kernel_initializer": "he_normal", "l2": 0.5})
    for layer in (*of_type(model, "Conv2D"), *of_type(model, "Dense")):
        assert type(layer.kernel_initializer) is keras.initializers.HeNormal
        assert layer.kernel_regularizer.l2 == 0.5


def test_a_seed_gives_the_same_weights_again_and_every_kernel_its_own():
    values = {**SMALL, "filters": 1, "conv_blocks": 2}
    first, again, other = (network(values, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[2])


def test_rows_that_are_no_images_are_refused_by_name():
    with pytest.raises(Invalid, match="learns from images") as caught:
        network(SMALL, (4,))
    assert list(caught.value.errors) == ["network"]


def test_the_summary_shows_blocks():
    lines = summary_text(network(SMALL)).splitlines()
    assert lines[2].split() == ["conv_1", "Conv2D", "rows", "×", "8", "×", "8", "×", "4", "40"]


def test_a_network_is_a_plain_keras_file(tmp_path):
    model = network({**SMALL, "l2": 0.1, "dropout": 0.1, "batch_normalization": True})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={})
    x = np.ones((2, 8, 8, 1), dtype=np.float32)
    assert np.array_equal(np.asarray(model(x)), np.asarray(loaded(x)))


def answers_of_both(shape, values, task=Task.MULTICLASS, classes=(0, 1, 2)):
    """What a network with shaken weights and its ONNX graph give for nine images."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, *shape))
    dataset = from_arrays(pixels, np.arange(9) % 3)
    rows = np.arange(9)
    preprocessor = Preprocessor.fit(dataset, rows, ("x",))
    x = preprocessor.transform(dataset, rows)
    model = network(values, x.shape[1:], Outputs.of(task, len(classes)))
    generator = np.random.default_rng(1)
    model.set_weights([w + generator.uniform(0, 0.1, w.shape) for w in model.get_weights()])
    graph = OnnxAnswers.load(merge([preprocessor], TargetEncoder(task, classes), model))
    return np.asarray(model(x)), graph(dataset, rows, ("x",))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 7), (8, 8), (9, 7, 3), (5, 6, 1)])
def test_onnx_answers_as_keras(shape, kernel):
    values = {**SMALL, "conv_blocks": 3, "kernel_size": kernel, "batch_normalization": True}
    keras_answers, onnx_answers = answers_of_both(shape, values)
    np.testing.assert_allclose(onnx_answers, keras_answers, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnx_answers_as_keras_with_every_activation(activation):
    values = {**SMALL, "activation": activation, "dropout": 0.3}
    keras_answers, onnx_answers = answers_of_both((6, 5, 3), values)
    np.testing.assert_allclose(onnx_answers, keras_answers, atol=1e-5)


def test_onnx_answers_as_keras_for_a_number_and_for_two_classes():
    number = answers_of_both((6, 5), SMALL, Task.REGRESSION, ())
    np.testing.assert_allclose(number[1], number[0], atol=1e-5)
    keras_answers, onnx_answers = answers_of_both((6, 5), SMALL, Task.BINARY, (0, 1))
    np.testing.assert_allclose(onnx_answers[:, 1:], keras_answers, atol=1e-5)


def test_every_network_of_the_default_space_can_be_built():
    space = load_space(None, "cnn")
    assert set(space.parameters) == set(DEFAULT_SPACES["cnn"])
    for end in (0, -1):
        flat: dict[str, Value] = {}
        for dimension in space.dimensions:
            if dimension.active(flat):
                flat[dimension.name] = dimension.parameter.points(3)[end]
        assert network(space.resolve(flat), (28, 28, 1)).output_shape == (None, 3)


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((30,), 8192), ((8, 8), 8192), ((28, 28), 668), ((28, 28, 3), 668), ((1024, 1024, 3), 1)],
)
def test_large_images_go_through_in_smaller_pieces(shape, rows):
    assert rows_at_once(shape) == rows
