"""Trials as a study of Optuna."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal

from luthier.trial_exports.records import ExportError, JobRecord, TrialRecord
from models.space.hyperparameters import Value
from models.space.parameters import Boolean, Choice, Float, Int, Tunable
from models.space.schema import load_space
from models.space.space import SearchSpace

_DIRECTIONS: Mapping[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}


def write(job: JobRecord, destination: str) -> str:
    """Add a study named like the job to a storage, and return what to do with it.

    `destination` is a URL of Optuna, a journal that ends in `.log`, or else an SQLite file.
    """
    try:
        import optuna
    except ImportError as error:
        raise ExportError("This needs Optuna: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = load_space(job.request["search_space"], job.request["network"])
    flat = {trial.number: space.flatten(trial.raw_values) for trial in job.trials}
    distributions = _distributions(space, [*flat.values()])
    directions = [_DIRECTIONS[objective["direction"]] for objective in job.objectives]
    storage, shown = _storage(destination)
    try:
        study = optuna.create_study(study_name=job.id, storage=storage, directions=directions)
    except optuna.exceptions.DuplicatedStudyError:
        raise ExportError(f"{destination} has a study {job.id} already.") from None
    if len(job.objectives) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([objective["metric"] for objective in job.objectives])
    study.set_user_attr("model", job.model)
    study.add_trials(
        [_frozen(job, trial, flat[trial.number], distributions) for trial in job.trials]
    )
    return f'optuna.load_study(study_name="{job.id}", storage={shown})'


def _storage(destination: str) -> tuple[Any, str]:
    """Return a storage and the expression that opens it."""
    if destination.endswith(".log"):
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        shown = f'JournalStorage(JournalFileBackend("{destination}"))'
        return JournalStorage(JournalFileBackend(destination)), shown
    url = destination if "://" in destination else f"sqlite:///{destination}"
    return url, f'"{url}"'


def _distributions(space: SearchSpace, found: list[dict[str, Value]]) -> dict[str, Any]:
    """Return the distribution of each dimension, widened by enqueued values outside of it."""
    return {
        dimension.name: _distribution(
            dimension.parameter,
            [values[dimension.name] for values in found if dimension.name in values],
        )
        for dimension in space.dimensions
    }


def _distribution(parameter: Tunable, seen: list[Value]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    is_inside = all(parameter.canonical(value) is not None for value in seen)
    if isinstance(parameter, Choice | Boolean):
        options = [*parameter.options(), *(v for v in seen if v not in parameter.options())]
        return CategoricalDistribution(list(dict.fromkeys(options)))
    numbers = [float(value) for value in seen]
    low, high = min([parameter.min, *numbers]), max([parameter.max, *numbers])
    is_log = parameter.sampling == "log" and low > 0
    if isinstance(parameter, Int):
        # Optuna has no logarithmic range with steps.
        step = parameter.step if parameter.step and is_inside and not is_log else 1
        return IntDistribution(int(low), int(high), log=is_log, step=step)
    assert isinstance(parameter, Float)
    steps = parameter.options()
    if steps and parameter.step and is_inside and not is_log:
        return FloatDistribution(low, steps[-1], step=parameter.step)
    return FloatDistribution(low, high, log=is_log)


def _frozen(
    job: JobRecord, trial: TrialRecord, values: dict[str, Value], distributions: dict[str, Any]
) -> Any:
    from optuna.trial import TrialState, create_trial

    scores = list(trial.scores) or ([] if trial.score is None else [trial.score])
    is_complete = len(scores) == len(job.objectives)
    state = TrialState.COMPLETE if is_complete else TrialState.FAIL
    curve = trial.history.get(f"val_{job.objectives[0]['metric']}", ())
    frozen = create_trial(
        state=state,
        values=scores if is_complete else None,
        params=values,
        distributions={name: distributions[name] for name in values},
        user_attrs={"number": trial.number, "state": trial.state, "metrics": dict(trial.metrics)},
        intermediate_values={
            epoch: value
            for epoch, value in enumerate(curve, 1)
            if value is not None and len(job.objectives) == 1
        },
    )
    frozen.datetime_start = _local(trial.started)
    frozen.datetime_complete = _local(trial.finished)
    return frozen


def _local(time: Any) -> Any:
    """Return a time as Optuna stores it: local, without a zone."""
    return time and time.astimezone().replace(tzinfo=None)
