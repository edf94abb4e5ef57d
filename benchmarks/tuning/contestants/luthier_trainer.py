"""Luthier's own trainer, as a trial's process uses it, without service, database or metrics."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.tuning.task import Fold, Layers, Task, Turns, load
from models.data.preparation.tasks import Task as Kind
from models.networks.outputs import Outputs
from models.trials.process import prepare_process, warm_up
from models.trials.trainers.base import Run, TrainingData


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Train every fold and execution of a trial in one call, as `models.trials.run` does."""
    prepare_process(task.threads or 1)
    warm_up()
    # Imports TensorFlow, which `prepare_process` has to come before.
    from models.trials.trainers.choice import choose_trainer

    folds = [training_data(fold, task.kind) for fold in load(task.rows)]

    def train(layers: Layers, seed: int, epochs: int) -> None:
        values = {"num_layers": len(layers), "units": list(layers), "batch_size": task.batch}
        runs = [
            Run(fold, execution, seed * task.executions + execution, "mlp", values, epochs)
            for fold in range(len(folds))
            for execution in range(task.executions)
        ]
        results = choose_trainer("mlp", values, folds[0]).train(runs, folds)
        assert len(results) == len(runs)
        assert not results[-1].diverged

    train((16, 16), 0, 1)

    def run() -> None:
        for number in turns:
            train(task.networks[number], number, task.epochs)

    return run


def training_data(fold: Fold, kind: str) -> TrainingData:
    """Return a fold as the trainers take it."""
    outputs = Outputs.of(Kind(kind), fold.classes)
    training, validation = (fold.x_train, fold.y_train), (fold.x_validation, fold.y_validation)
    if np.array_equal(fold.x_train, fold.x_validation):
        # As in the service, which validates on the very rows that it trains on if asked to.
        validation = training
    return TrainingData(*training, *validation, outputs, fold.target_scale)
