"""Keras Tuner until a trial's validation loss is low enough.

Several processes search on their own, with other seeds; the first one to get there ends the rest.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from benchmarks.tuning.contestants.keras_loop import build, fit_arguments, start
from benchmarks.tuning.target import MAX_TRIALS, SPACE, TargetTask
from benchmarks.tuning.task import Turns, load

_ORACLES = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
}


class _Reached(Exception):
    """Ends a search."""


def prepare(task: TargetTask, turns: Turns) -> Callable[[], Any]:
    """Search the space of the workload as Keras Tuner's own hyperparameters have it.

    The function answers whether the target was reached. Together the processes train no more
    trials than one search may.
    """
    (fold,) = load(task.rows)
    start(task, fold)
    limit = task.target / fold.target_scale**2

    class UntilTarget(keras_tuner.Tuner):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            found = self.oracle.get_trial(trial.trial_id).score
            if found is not None and found <= limit:
                raise _Reached

    def build_drawn(hp: keras_tuner.HyperParameters) -> keras.Model:
        count, units, rate = SPACE["num_layers"], SPACE["units"], SPACE["learning_rate"]
        layers = tuple(
            hp.Int(f"units_{number}", units["min"], units["max"], units["step"])
            for number in range(hp.Int("num_layers", count["min"], count["max"]))
        )
        learning_rate = hp.Float("learning_rate", rate["min"], rate["max"], sampling="log")
        return build(layers, task, fold, learning_rate)

    oracle = _ORACLES[task.strategy](
        "val_loss",
        max_trials=MAX_TRIALS // task.processes,
        seed=task.seed * task.processes + task.process,
    )
    tuner = UntilTarget(oracle, build_drawn, directory=Path(task.folder) / str(task.process))

    def run() -> bool:
        try:
            tuner.search(fold.x_train, fold.y_train, **fit_arguments(task, fold))
        except _Reached:
            return True
        return False

    return run
