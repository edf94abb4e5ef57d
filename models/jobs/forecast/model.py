"""The forecast of a job: the question and the answer."""

from dataclasses import dataclass

from models.jobs.spec import JobSpec
from models.trials.spec import DataRef


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """The job to forecast, as plain values that travel between processes."""

    spec: JobSpec
    data: DataRef
    builtin: str | None  # name of the builtin dataset, if its rows are not stored yet
    trials: int  # that will be trained
    slots: int  # trials that run at once


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the search space."""

    smallest: float  # of any network
    largest: float
    expected: float  # mean over points drawn as the strategy draws them


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The assumptions of a forecast."""

    trials: int
    runs_per_trial: int  # folds × executions
    parallelism: int  # trials at once
    epochs: int  # of all trials together, each run counted once; no early stopping, no pruning
    networks_trained: int  # that were trained for a few epochs to measure


@dataclass(frozen=True, slots=True)
class Forecast:
    """The needs of a job on the machine that made the forecast."""

    seconds: float  # of searching
    saving_seconds: float  # of the refit, if there is one, and of making the version
    seconds_per_trial: Spread  # every epoch of the budget, all runs
    memory_bytes: int  # most resident memory of one trial process
    disk_bytes: Spread  # of the version and the kept weights, by which network wins
    parameters: Spread
    assumes: Assumptions
