"""Optuna around Keras's `fit`: several processes share one study through its journal file."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import keras
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.tuning.contestants.keras_loop import build, fit, start
from benchmarks.tuning.task import Task, Turns, load


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Every network is queued in the study by its number; each process takes the next."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folds = load(task.rows)
    start(task, folds[0])
    storage = JournalStorage(JournalFileBackend(str(Path(task.folder) / "study.log")))
    study = optuna.create_study(storage=storage, study_name="study", load_if_exists=True)
    if task.process == 0:
        for number in range(len(task.networks)):
            study.enqueue_trial({"network": number})

    def objective(trial: optuna.Trial) -> float:
        layers = task.networks[trial.suggest_int("network", 0, len(task.networks) - 1)]
        losses = []
        for _ in range(task.executions):
            for fold in folds:
                keras.backend.clear_session()
                losses.append(fit(build(layers, task, fold), task, fold))
        return fmean(losses)

    def run() -> None:
        for _ in turns:
            study.optimize(objective, n_trials=1)

    return run
