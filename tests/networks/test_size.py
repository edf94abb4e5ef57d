import pytest

from models.data.preparation.tasks import Task
from models.networks.families import build
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.networks.size import size_of
from models.space.hyperparameters import value


@pytest.mark.parametrize(
    ("network", "values", "shape"),
    [
        ("mlp", {"num_layers": 0}, (3,)),
        ("mlp", {"num_layers": 2, "units": [5, 7]}, (3,)),
        ("mlp", {"num_layers": 2, "units": 4, "batch_normalization": [True, False]}, (3,)),
        ("mlp", {"num_layers": 1, "units": 4}, (5, 4, 1)),
        ("mlp", {"num_layers": 2, "units": 4, "batch_normalization": True, "members": 5}, (3,)),
        ("mlp", {"num_layers": 0, "members": 2}, (3,)),
        ("mlp", {"scaling_layer": True}, (3,)),
        ("cnn", {"conv_blocks": 1, "filters": 3, "num_layers": 0}, (5, 7, 1)),
        ("cnn", {"conv_blocks": 4, "filters": [2, 3, 4, 5], "kernel_size": 5}, (5, 7, 2)),
        ("cnn", {"conv_blocks": 2, "batch_normalization": True, "units": 6}, (8, 8, 1)),
    ],
)
def test_it_is_the_size_that_keras_counts(network, values, shape):
    outputs = Outputs.of(Task.MULTICLASS, 3)
    model = build(network, values, Inputs(shape), outputs, seed=0)
    size = size_of(network, values, Inputs(shape), outputs.units)
    assert size.parameters == model.count_params()
    kernels = [each for each in model.layers if type(each).__name__ in ("Dense", "Conv2D")]
    assert size.layers == len(kernels) + (int(value(values, "members")) > 1)


def test_a_product_is_counted_for_every_pixel_of_a_convolution():
    size = size_of("cnn", {"conv_blocks": 1, "filters": 2, "num_layers": 0}, Inputs((4, 6, 1)), 3)
    assert size.multiply_adds == 4 * 6 * 3 * 3 * 2 + 2 * 3 * 2 * 3
    size = size_of("mlp", {"num_layers": 1, "units": 5}, Inputs((4,)), 3)
    assert size.multiply_adds == 4 * 5 + 5 * 3
    several = {"num_layers": 1, "units": 5, "members": 7}
    assert size_of("mlp", several, Inputs((4,)), 3).multiply_adds == 7 * (4 * 5 + 5 * 3)
