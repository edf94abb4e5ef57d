"""Seconds of a training step by NumPy and by Keras, for larger and larger networks.

`python -m benchmarks.threshold` trains perceptrons with both trainers in one process of `--threads`
CPU threads and prints, for each, the multiply-adds of a step and the milliseconds of a step. Keras
uses a GPU where there is one: the size from which it is faster is what `LUTHIER_GPU_THRESHOLD`
should be there. The seconds that Keras takes to build and trace a network are not in a step.
"""

import argparse
import time
from itertools import product

import numpy as np
from rich.console import Console
from rich.table import Table

from models.data.preparation.tasks import Task
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.networks.size import size_of
from models.trials.process import prepare_process, visible_gpus
from models.trials.trainers.base import EpochReport, Run, Trainer, TrainingData

UNITS = (32, 64, 128, 256, 512, 1024, 2048)
BATCHES = (32, 128, 512)
FEATURES, LAYERS, STEPS, EPOCHS = 32, 3, 20, 5


def step_seconds(trainer: Trainer, units: int, batch: int) -> float:
    """Return the seconds of a step: those of the fastest epoch but the first, by its steps."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((STEPS * batch, FEATURES), dtype=np.float32)
    y = np.sin(x).sum(axis=1)
    data = TrainingData(x, y, x[:1], y[:1], Outputs.of(Task.REGRESSION))
    values = {"num_layers": LAYERS, "units": units, "batch_size": batch}
    ends: list[float] = []

    def note(epoch: EpochReport) -> None:
        ends.append(time.perf_counter())

    trainer.train([Run(0, 0, 0, "mlp", values, EPOCHS)], [data], note)
    return float(np.diff(ends).min()) / STEPS


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--units", type=int, nargs="+", default=UNITS)
    options.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    options.add_argument("--trainers", nargs="+", default=["numpy", "keras"])
    chosen = options.parse_args()
    prepare_process(chosen.threads)
    # TensorFlow is imported with these, for which the process must have been prepared.
    from models.trials.trainers.keras import KerasTrainer
    from models.trials.trainers.numpy.trainer import NumpyTrainer

    trainers = {"numpy": NumpyTrainer(), "keras": KerasTrainer()}
    table = Table(title=f"milliseconds of a step; GPUs: {', '.join(visible_gpus()) or 'none'}")
    for heading in ("units", "batch", "multiply-adds", *chosen.trainers):
        table.add_column(heading, justify="right")
    for units, batch in product(chosen.units, chosen.batches):
        size = size_of("mlp", {"num_layers": LAYERS, "units": units}, Inputs((FEATURES,)), 1)
        products = size.training_multiply_adds(batch)
        seconds = [step_seconds(trainers[name], units, batch) for name in chosen.trainers]
        cells = [f"{1000 * each:.2f} ({products / each / 1e9:.1f} G/s)" for each in seconds]
        table.add_row(str(units), str(batch), f"{products:,}", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
