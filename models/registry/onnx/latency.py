"""The latency of a trial's network: its ONNX graph, run on one row by one thread."""

import time
from functools import lru_cache
from statistics import median

import numpy as np

from models.data.dataset import Dataset
from models.networks import families
from models.registry.onnx.model import OnnxAnswers, merge
from models.trials.data import encoding_of, load, prepare
from models.trials.spec import DataRef, TrialSpec
from models.trials.trainers.base import Weights
from models.trials.trainers.keras import released

_WARM_UP = 10  # runs before the first that counts
_RUNS = 100  # that count, at most
_SECONDS = 1.0  # after which no further run begins


def measure_latency(spec: TrialSpec, weights: Weights) -> float:
    """Return the milliseconds for one row: raw columns in, prediction out; needs TensorFlow.

    The graph is the one that a version of the trial would have, of the first fold. The figure is
    the median of up to 100 runs after 10 others, in this process and on this machine.
    """
    fold = prepare(spec.data, encoding_of(spec.values)).folds[0]
    training = fold.training
    with released():
        network = families.create(
            spec.network, spec.values, training.inputs, training.outputs, spec.seed
        )
        network.set_weights(list(weights))
        graph = merge(fold.preprocessor, fold.encoder, network)
    row, features = _first_row(spec.data)
    run = OnnxAnswers.load(graph, threads=1).runner(row, np.arange(1), features)
    for _ in range(_WARM_UP):
        run()
    taken: list[float] = []
    end = time.perf_counter() + _SECONDS
    while not taken or (len(taken) < _RUNS and time.perf_counter() < end):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return 1000 * median(taken)


@lru_cache(maxsize=2)
def _first_row(ref: DataRef) -> tuple[Dataset, tuple[str, ...]]:
    """Return a dataset of the first training row alone, and the columns that are features."""
    data = load(ref)
    first = data.split.folds[0].train[:1]
    values = {name: data.dataset.values[name][first] for name in data.features}
    columns = tuple(data.dataset.column(name) for name in data.features)
    return Dataset(columns, values), data.features
