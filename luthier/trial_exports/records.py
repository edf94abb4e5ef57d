"""A job and its trials as the exports need them, read through the public API."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from luthier.client import Client
from models.errors import LuthierError
from models.space.hyperparameters import Value

_PAGE = 1000  # trials of one request


class ExportError(LuthierError):
    """The trials cannot be written there."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial that has ended."""

    number: int
    state: str
    values: Mapping[str, Value]  # flat: `units_1`, `units_2` for the layers
    raw_values: Mapping[str, Value | list[Value]]
    score: float | None
    scores: tuple[float, ...]  # by objective, where there are several
    metrics: Mapping[str, float]  # of the best epoch, without those that are undefined
    history: Mapping[str, tuple[float | None, ...]]  # by epoch, from the first
    best_epoch: int
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True)
class JobRecord:
    """A job with its trials that have ended."""

    id: str
    model: str
    version: int | None
    request: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]

    @property
    def objectives(self) -> list[Mapping[str, Any]]:
        """The objectives, each with `metric` and `direction`."""
        objective = self.request["objective"]
        return objective if isinstance(objective, list) else [objective]


def read_job(client: Client, job: str) -> JobRecord:
    """Read a job and all its trials that have ended, in the order of their numbers."""
    found = client.job(job)
    records: list[TrialRecord] = []
    after = 0
    while page := client.trials(job, limit=_PAGE, after=after):
        records += [_record(trial) for trial in page if trial["finished"]]
        after = page[-1]["number"]
    return JobRecord(job, found["model"], found["version"], found["request"], tuple(records))


def version_file(client: Client, job: JobRecord, file: str) -> bytes:
    """Return a file of the version that a job made."""
    assert job.version is not None
    return b"".join(client.download(job.model, job.version, file))


def _record(trial: Mapping[str, Any]) -> TrialRecord:
    flat: dict[str, Value] = {}
    for name, value in trial["values"].items():
        if isinstance(value, list):
            flat |= {f"{name}_{layer}": each for layer, each in enumerate(value, 1)}
        else:
            flat[name] = value
    return TrialRecord(
        number=trial["number"],
        state=trial["state"],
        values=flat,
        raw_values=trial["values"],
        score=trial["score"],
        scores=tuple((trial["scores"] or {}).values()),
        metrics={n: float(v) for n, v in (trial["metrics"] or {}).items() if v is not None},
        history={name: tuple(curve) for name, curve in (trial["history"] or {}).items()},
        best_epoch=trial["best_epoch"] or 0,
        started=_time(trial["started"]),
        finished=_time(trial["finished"]),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
