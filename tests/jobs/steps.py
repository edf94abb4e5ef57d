"""Steps of a job, done by hand in place of its oracle and its trials; helpers to read results."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import select

from models.data.library.catalog import DatasetCatalog
from models.jobs.model import JobState, Trial
from models.jobs.search.search import Search
from models.jobs.store.events import EventKind
from models.jobs.store.held_job import HeldJob
from models.oracles.oracle import Proposal
from models.oracles.strategy import Manual
from models.store.engine import Database
from models.store.tables import events
from models.trials.spec import TrialResult, TrialSpec

Value = TypeVar("Value")

LEASE = 3600.0  # seconds; no test is so slow that it ends by itself
LINEAR: dict[str, Any] = {"num_layers": 0, "batch_size": 64}


def present(value: Value | None) -> Value:
    """Return a value that must be there."""
    assert value is not None
    return value


def next_trial(search: Search) -> TrialSpec:
    """Start the next trial of a search that has one."""
    return present(search.next_trial())


def best_trial(search: Search) -> Trial:
    """Return the best trial of a search that has a score."""
    return present(search.best)


def manual(count: int) -> Manual:
    """Trials that differ in their learning rate."""
    return Manual(tuple({**LINEAR, "learning_rate": 0.001 * (i + 1)} for i in range(count)))


def store_dataset(database: Database, dataset: str) -> None:
    """Record a dataset without rows, for jobs that train nothing."""
    DatasetCatalog(database).add(dataset, 1, [], None, None)


def propose(held: HeldJob, count: int) -> list[int]:
    """Record `count` trials; return their numbers."""
    known = len(held.trials())
    rates = [0.001 * (known + index + 1) for index in range(count)]
    proposals = [
        Proposal(f"manual-{known + index}", {**LINEAR, "learning_rate": rate})
        for index, rate in enumerate(rates)
    ]
    return [trial.number for trial in held.propose(proposals, 2, {})]


def reporting(database: Database, job: str) -> set[int]:
    """Return the trials of a job that have reported an epoch."""
    query = select(events.c.trial).where(events.c.job == job, events.c.kind == EventKind.EPOCH)
    with database.read() as connection:
        return set(connection.execute(query.distinct()).scalars())


def endless_trials(count: int) -> Manual:
    """Trials of slow epochs, of which a budget may have very many."""
    return Manual(tuple({**trial, "batch_size": 1} for trial in manual(count).trials))


def scored(score: float | None, **changes: Any) -> TrialResult:
    """The result of a trial."""
    parts: dict[str, Any] = {
        "score": score,
        "spread": 0.0,
        "metrics": {"loss": score},
        "history": {"loss": [score]},
        "seconds": 2.0,
        "best_epoch": 1,
        "epochs": 2,
    }
    return TrialResult(**(parts | changes))


@dataclass
class Work:
    """A job that a worker holds, and its search."""

    job: str
    held: HeldJob
    search: Search

    def train(
        self, most: int = 1000, score: Callable[[TrialSpec], float] | None = None
    ) -> list[TrialSpec]:
        """Train up to `most` trials, one by one; by default each is better than all before."""
        trained: list[TrialSpec] = []
        while len(trained) < most and (spec := self.search.next_trial()):
            value = score(spec) if score else 1.0 / spec.number
            self.search.completed(spec.number, scored(value))
            trained.append(spec)
        return trained

    def end(self, state: JobState = JobState.SUCCEEDED) -> None:
        changes = self.held.job().changes
        reason = present(self.search.stop_reason())
        assert self.held.end_search(reason, self.search.seconds, changes)
        self.held.finish(state, error=None if state == JobState.SUCCEEDED else "why")

    def trials(self) -> list[Trial]:
        return self.held.trials()
