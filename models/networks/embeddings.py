"""The trained encodings of a network's inputs as Keras layers."""

import math
from itertools import accumulate

import keras

from models.networks.inputs import Coding, Periodic, Stage

# Beyond the seeds of all layers and their dropout; see `models.networks.mlp.layer_seed`.
_SEEDS = 1 << 20


def stage_network(stage: Stage, seed: int) -> keras.Model:
    """Build the layers of `stage` as one network of Keras's own layers, named `inputs`.

    It converts (rows, stage.inputs) to (rows, stage.outputs).
    """
    row = keras.Input((stage.inputs,), name="row")
    makers = initializers(stage, seed)
    outputs = []
    for number, (part, signal) in enumerate(zip(stage.parts, _split(row, stage), strict=True), 1):
        match part.coding:
            case Coding.PERIODIC:
                assert stage.periodic is not None
                signal = _periodic(signal, stage.periodic, makers.pop(0), makers.pop(0))
            case Coding.EMBEDDING:
                signal = keras.layers.Dense(
                    part.outputs,
                    use_bias=False,
                    kernel_initializer=makers.pop(0),
                    name=f"embedding_{number}",
                )(signal)
        outputs.append(signal)
    if len(outputs) > 1:
        outputs = [keras.layers.Concatenate(name="encoded")(outputs)]
    return keras.Model(row, outputs[0], name="inputs")


def _split(row: keras.KerasTensor, stage: Stage) -> list[keras.KerasTensor]:
    ends = list(accumulate(part.width for part in stage.parts[:-1]))
    return list(keras.ops.split(row, ends, axis=1)) if ends else [row]


def initializers(stage: Stage, seed: int) -> list[keras.initializers.Initializer]:
    """Return the initializer of each of `stage.kernels`.

    Frequencies are drawn from a normal distribution, the layer after them from a uniform one, as
    in the authors' code (https://github.com/yandex-research/rtdl-num-embeddings). An embedding is
    about as long as the one-hot row that it replaces. Biases are 0.
    """
    found: list[keras.initializers.Initializer] = []
    if stage.periodic is not None:
        limit = 1 / math.sqrt(2 * stage.periodic.frequencies)
        found = [
            keras.initializers.RandomNormal(stddev=stage.periodic.scale, seed=seed + _SEEDS),
            keras.initializers.RandomUniform(-limit, limit, seed=seed + _SEEDS + 1),
        ]
    found += [
        keras.initializers.RandomNormal(
            stddev=1 / math.sqrt(part.outputs), seed=seed + _SEEDS + 2 + number
        )
        for number, part in enumerate(stage.embedded)
    ]
    return found


def _periodic(
    numbers: keras.KerasTensor,
    periodic: Periodic,
    frequencies: keras.initializers.Initializer,
    kernel: keras.initializers.Initializer,
) -> keras.KerasTensor:
    count = numbers.shape[1]
    cycles = keras.layers.EinsumDense(
        "rn,nf->rnf",
        output_shape=(count, periodic.frequencies),
        kernel_initializer=frequencies,
        name="frequencies",
    )(numbers)
    angles = keras.layers.Rescaling(2 * math.pi, name="angles")(cycles)
    waves = keras.layers.Concatenate(name="waves")([keras.ops.sin(angles), keras.ops.cos(angles)])
    embedded = keras.layers.EinsumDense(
        "rnw,nwe->rne",
        output_shape=(count, periodic.size),
        bias_axes="ne",
        activation="relu",
        kernel_initializer=kernel,
        name="periodic",
    )(waves)
    return keras.layers.Flatten(name="periodic_row")(embedded)
