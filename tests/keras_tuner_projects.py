"""Project folders that Keras Tuner's own oracles write, without a training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner


def write_project(
    folder: Path, declare: Callable[[Any], None], oracle_class: Any = None, **options: Any
) -> Path:
    """Let an oracle propose five trials, score four of them, and write its project.

    `declare` declares the hyperparameters, as a script's `build_model(hp)` does.
    """
    space = keras_tuner.HyperParameters()
    declare(space)
    oracle = (oracle_class or keras_tuner.oracles.RandomSearchOracle)(
        objective=keras_tuner.Objective("val_mae", "min"),
        hyperparameters=space,
        seed=3,
        **(options or {"max_trials": 20}),
    )
    oracle._set_project_dir(str(folder.parent), folder.name)
    for number in range(5):
        trial = oracle.create_trial("tuner0")
        declare(trial.hyperparameters)
        oracle.update_space(trial.hyperparameters)
        if number == 3:
            trial.status, trial.message = "INVALID", "out of memory"
        else:
            metrics = {"val_loss": 9.0 - number, "val_mae": 5.0 - number}
            oracle.update_trial(trial.trial_id, metrics, step=number)
            trial.status = "COMPLETED"
        oracle.end_trial(trial)
    oracle.save()
    return folder
