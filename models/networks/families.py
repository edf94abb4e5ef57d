"""Families of networks by name, and what a network of them looks like.

A new family is one line here and one file beside `mlp.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras

from models.networks import cnn, members, mlp
from models.networks.inputs import Inputs
from models.networks.losses import training_loss
from models.networks.optimizers import create_optimizer
from models.networks.outputs import Outputs
from models.networks.steps import Steps
from models.space.hyperparameters import TrialValues, value

# The metric that is the task's own loss, whatever the network is trained by.
TASK_LOSS = "task_loss"

Build = Callable[[TrialValues, Inputs, Outputs, int], keras.Model]

FAMILIES: Mapping[str, Build] = {"mlp": mlp.build, "cnn": cnn.build}


def create(
    network: str,
    values: TrialValues,
    inputs: Inputs,
    outputs: Outputs,
    seed: int,
) -> keras.Model:
    """Create the network that `build` compiles: it predicts, but cannot be trained yet."""
    return FAMILIES[network](values, inputs, outputs, seed)


def build(
    network: str,
    values: TrialValues,
    inputs: Inputs,
    outputs: Outputs,
    seed: int,
    steps: Steps | None = None,
) -> keras.Model:
    """Build and compile a network of the family `network` for the values of one trial.

    `inputs` is one row after preprocessing. `steps` is the length of the training, which some
    learning-rate schedules need; leave it out for a network that will not be trained. Initial
    weights depend on `seed` alone. The network reports the loss that it is trained by, which
    includes weight penalties, `task_loss`, the loss of its task without them, and
    `outputs.companion`. Row weights apply to the first two: `task_loss` is then divided by their
    sum, and the loss by the number of rows. With several members, all figures of training are means
    over the members, and all others those of the mean prediction; `to_train` in
    `models.networks.members` says how.
    """
    model = create(network, values, inputs, outputs, seed)
    loss, companion = training_loss(values, outputs), outputs.companion
    task_loss = keras.losses.get(outputs.loss)
    if int(value(values, "members")) > 1:
        model = members.to_train(model)
        loss, companion = members.MembersLoss(loss), members.companion(outputs)
        task_loss = members.over_members(task_loss)
    model.compile(
        optimizer=create_optimizer(values, steps or Steps(total=1)),
        loss=loss,
        metrics=[companion],
        weighted_metrics=[keras.metrics.MeanMetricWrapper(task_loss, name=TASK_LOSS)],
        jit_compile=False,
    )
    # Keras cannot read the file of a network whose optimizer has no variables yet.
    model.optimizer.build(model.trainable_variables)
    return model


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer of a network."""

    name: str
    type: str  # class name in Keras: Dense, Dropout, …
    output_shape: tuple[int | None, ...]  # None is the number of rows
    parameters: int  # trained and untrained numbers


def summarize(model: keras.Model, within: str = "") -> list[LayerSummary]:
    """Return every layer of a built network, from input to output.

    The layers of a network inside it, such as a member of an ensemble, have its name in front.
    """
    found: list[LayerSummary] = []
    for layer in model.layers:
        name = f"{within}{layer.name}"
        if isinstance(layer, keras.Model):
            found += summarize(layer, f"{name}/")
        elif not (within and isinstance(layer, keras.layers.InputLayer)):
            kind, parameters = type(layer).__name__, int(layer.count_params())
            found.append(LayerSummary(name, kind, _output_shape(layer), parameters))
    return found


def summary_text(model: keras.Model) -> str:
    """Return the layers as an aligned table that ends with the total number of parameters."""
    rows = [("layer", "type", "output shape", "parameters")]
    rows += [
        (layer.name, layer.type, _shape_text(layer.output_shape), f"{layer.parameters:,}")
        for layer in summarize(model)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}"
        for name, kind, shape, count in rows
    ]
    return "\n".join([*lines, f"total parameters: {int(model.count_params()):,}"])


def _output_shape(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    return tuple(layer.output.shape)


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return " × ".join("rows" if size is None else str(size) for size in shape)
