"""What a job will take: what is asked, what is answered, and the entry point."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.jobs.records import Job, Trial
from models.trials.spec import DataRef


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """The job to look ahead at; plain values that travel between processes."""

    spec: dict[str, Any]  # `JobSpec.to_document`
    data: DataRef
    builtin: str | None  # name of the builtin dataset, if its rows are not stored yet
    trials: int  # that will be trained
    slots: int  # trials that run at once, a pack counted as one


def request_forecast(
    job: Job, known: Sequence[Trial], artifacts_root: str, slots: int
) -> ForecastRequest:
    """What a worker asks about a job whose rows are stored.

    `known` are the trials there are of a narrowed job: those that came with it are not trained.
    """
    assert job.dataset is not None
    spec = job.spec
    given = sum(trial.is_given for trial in known)
    answered = max(0, given - len(spec.strategy.initial_trials)) if known else 0
    return ForecastRequest(
        spec=spec.to_document(),
        data=spec.data(job.dataset, artifacts_root),
        builtin=None,
        trials=job.planned_trials - answered,
        slots=slots,
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the search space."""

    smallest: float  # of any network
    largest: float
    expected: float  # mean over points drawn as the strategy draws them


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a forecast rests on."""

    trials: int
    runs_per_trial: int  # folds × executions
    parallelism: int  # trials at once
    epochs: int  # of all trials together, each run counted once; no early stopping, no pruning
    networks_trained: int  # that were trained for a few epochs to measure


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a job will take, on the machine that the forecast was made on."""

    seconds: float  # of searching
    saving_seconds: float  # of the refit, if there is one, and of making the version
    seconds_per_trial: Spread  # every epoch of the budget, all runs
    memory_bytes: int  # most resident memory of one trial process
    disk_bytes: Spread  # of the version and the winner's weights, by which network wins
    parameters: Spread
    assumes: Assumptions


@dataclass(frozen=True, slots=True)
class Actual:
    """What a job that succeeded has taken; the names are those of Forecast."""

    seconds: float
    saving_seconds: float
    memory_bytes: int | None  # None where every result was taken over
    disk_bytes: int


def make_forecast(request: ForecastRequest) -> Forecast:
    """Train a few networks of the job for a few epochs and reckon the rest; run it like a trial.

    Nothing is written. Raises what reading the rows raises.
    """
    # The parent sends this function by name and so imports this file; TensorFlow stays out of it.
    from models.jobs.forecasting import forecast

    return forecast(request)
