"""The winner's values trained once more, on validation rows too."""

from dataclasses import replace

import numpy as np

from models.data.dataset import Dataset
from models.data.preparation.splitting import Rows
from models.registry.export import RefitError
from models.trials.data import LoadedData, PreparedFold, prepare_fold
from models.trials.spec import DataRef, TrialResult, TrialSpec
from models.trials.trainers.base import Run, RunResult
from models.trials.trainers.choice import choose_trainer


def refit(
    data: LoadedData, trial: TrialSpec, result: TrialResult
) -> tuple[PreparedFold, RunResult]:
    """Train on every row but the test rows, for as many epochs as the trial's best took.

    Preprocessing is fitted on the same rows. No row is left to validate on, so the weights are
    those of the epoch with the least loss on the training rows, each counted once. Raises
    RefitError if the training diverges.
    """
    joined, rows = _joined(data, trial.data)
    fold = prepare_fold(joined, trial.data, rows)
    run = Run(
        fold=0,
        execution=0,
        seed=trial.seed,
        network=trial.network,
        values=trial.values,
        epochs=max(1, result.best_epoch or 0),
    )
    trainer = choose_trainer(trial.network, trial.values, fold.training)
    trained = trainer.train([run], [fold.training])[0]
    if trained.diverged:
        raise RefitError(
            f"Trained on training and validation rows together, trial {trial.number} "
            f"diverged in epoch {trained.epochs}."
        )
    return fold, trained


def _joined(data: LoadedData, ref: DataRef) -> tuple[LoadedData, Rows]:
    """One dataset with all rows but no apart validation dataset, and the rows to train on."""
    rows = np.setdiff1d(np.arange(data.dataset.rows), data.split.test, assume_unique=True)
    other = data.validation_dataset
    if other is None:
        return data, rows
    names = [*data.features, ref.target]
    if ref.sample_weight is not None:
        names.append(ref.sample_weight)
    both = Dataset(
        tuple(data.dataset.column(name) for name in names),
        {name: np.concatenate([data.dataset.values[name], other.values[name]]) for name in names},
    )
    added = np.arange(data.dataset.rows, data.dataset.rows + other.rows)
    return replace(data, dataset=both, validation_dataset=None), np.concatenate([rows, added])
