from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Literal

import pytest
from sqlalchemy import update

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.jobs.commands import JobCommands
from models.jobs.model import Job
from models.jobs.reader import JobReader
from models.jobs.search.search import Search
from models.jobs.spec import Budget, JobSpec
from models.jobs.store.held_job import HeldJob
from models.jobs.store.queue import JobQueue
from models.oracles.strategy import Strategy
from models.settings import Settings
from models.space.schema import load_space
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import jobs
from models.trials.spec import Objective
from tests.jobs.steps import LEASE, LINEAR, Work, manual, store_dataset


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    return Artifacts(settings.resolved_artifacts)


@pytest.fixture
def commands(database: Database, artifacts: Artifacts) -> JobCommands:
    return JobCommands(database, artifacts)


@pytest.fixture
def reader(database: Database) -> JobReader:
    return JobReader(database)


@pytest.fixture
def make_spec() -> Callable[..., JobSpec]:
    """A job on iris that tries three linear models; keyword arguments replace its parts."""

    def make(
        strategy: Strategy | None = None,
        space: dict[str, Any] | None = None,
        direction: Literal["min", "max"] = "min",
        **changes: Any,
    ) -> JobSpec:
        budget = changes.pop("budget", {})
        parts: dict[str, Any] = {
            "model": "iris",
            "dataset": "builtin:iris",
            "target": "target",
            "features": None,
            "task": Task.MULTICLASS,
            "network": "mlp",
            "space": load_space(space or LINEAR, "mlp"),
            "strategy": strategy or manual(3),
            "objective": Objective("loss" if direction == "min" else "accuracy", direction),
            "budget": Budget(**({"epochs": 2} | budget)),
            "evaluation": Evaluation(),
            "executions": 1,
            "early_stopping": None,
            "parallelism": None,
            "seed": 3,
            "refit": False,
            "reuse": False,
        }
        return JobSpec(**(parts | changes))

    return make


@pytest.fixture
def queued(
    commands: JobCommands, make_spec: Callable[..., JobSpec], database: Database
) -> Callable[..., Job]:
    """Queue a job of `make_spec`; its datasets, and `ds_1`, are recorded."""

    def queue(planned: int = 3, **changes: Any) -> Job:
        spec = make_spec(**changes)
        evaluation = spec.evaluation
        named = {"ds_1", spec.dataset, evaluation.validation_dataset, evaluation.test_dataset}
        for dataset in named:
            if isinstance(dataset, str) and dataset.startswith("ds_"):
                store_dataset(database, dataset)
        return commands.create(spec, planned)

    return queue


@pytest.fixture
def claim(database: Database) -> Callable[..., tuple[Job, HeldJob]]:
    """Claim the next job as `owner`."""

    def claim_as(owner: str = "worker-1") -> tuple[Job, HeldJob]:
        job = JobQueue(database, owner, LEASE).claim()
        assert job is not None
        return job, HeldJob(database, job.id, owner)

    return claim_as


@pytest.fixture
def take_up_work(
    claim: Callable[..., tuple[Job, HeldJob]],
    reader: JobReader,
    artifacts: Artifacts,
    database: Database,
) -> Callable[..., Work]:
    """Claim the next job that is free, as a new worker does, and resume its search."""

    def take_up(
        owner: str = "worker-1", dataset: str = "ds_1", thread: Executor | None = None
    ) -> Work:
        job, held = claim(owner)
        store_dataset(database, dataset)
        held.set_dataset(dataset)
        search = Search(reader.get(job.id), held, artifacts, thread)
        search.resume()
        return Work(job.id, held, search)

    return take_up


@pytest.fixture
def take_up(take_up_work: Callable[..., Work]) -> Callable[..., Search]:
    """The search of `take_up_work`."""
    return lambda *args, **options: take_up_work(*args, **options).search


@pytest.fixture
def begin_work(
    queued: Callable[..., Job], take_up_work: Callable[..., Work]
) -> Callable[..., Work]:
    """Queue a job of `make_spec` and take it up."""

    def begin(
        planned: int = 3, dataset: str = "ds_1", thread: Executor | None = None, **spec: Any
    ) -> Work:
        queued(planned, **spec)
        return take_up_work(dataset=dataset, thread=thread)

    return begin


@pytest.fixture
def begin(begin_work: Callable[..., Work]) -> Callable[..., Search]:
    """The search of `begin_work`."""
    return lambda *args, **options: begin_work(*args, **options).search


@pytest.fixture
def crash(database: Database) -> Callable[[], None]:
    """Let every lease have ended, as if the workers had died."""

    def lapse() -> None:
        with database.write() as connection:
            connection.execute(update(jobs).values(lease_until=None))

    return lapse
