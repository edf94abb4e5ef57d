"""What saving a network as a version takes, found by doing it in memory."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from models.networks import families
from models.registry.building import keras_file
from models.registry.onnx_answers import OnnxAnswers
from models.registry.onnx_merge import merge
from models.space.hyperparameters import TrialValues
from models.trials.data import PreparedFold
from models.trials.trainers.keras import released


@dataclass(frozen=True, slots=True)
class Saving:
    """What it took to save one network."""

    parameters: int
    seconds: float  # of building it, merging its graph and writing both files
    bytes: int  # of `model.onnx` and `model.keras`


def measure_savings(
    network: str, several: Sequence[TrialValues], fold: PreparedFold
) -> list[Saving]:
    """Build untrained networks and make the two files of a version that hold each."""
    with released():
        return [_measure_saving(network, values, fold) for values in several]


def _measure_saving(network: str, values: TrialValues, fold: PreparedFold) -> Saving:
    started = time.perf_counter()
    data = fold.training
    built = families.build(network, values, data.input_shape, data.outputs, seed=0)
    graph = merge(fold.preprocessor, fold.encoder, built)
    OnnxAnswers(graph)
    size = len(graph) + len(keras_file(built))
    parameters = int(built.count_params())
    return Saving(parameters, time.perf_counter() - started, size)
