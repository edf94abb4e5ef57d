from collections.abc import Callable
from typing import Any

import pytest

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.jobs.ledger import Ledger
from models.jobs.queries import JobQueries
from models.jobs.queue import JobQueue
from models.jobs.records import Job
from models.jobs.requests import JobRequests
from models.jobs.spec import Budget, JobSpec
from models.oracles.strategy import Strategy
from models.settings import Settings
from models.space.schema import load_space
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.trials.objective import Objective
from tests.jobs.steps import LINEAR, manual


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    return Artifacts(settings.resolved_artifacts)


@pytest.fixture
def requests(database: Database, artifacts: Artifacts) -> JobRequests:
    return JobRequests(database, artifacts)


@pytest.fixture
def queries(database: Database) -> JobQueries:
    return JobQueries(database)


@pytest.fixture
def make_spec() -> Callable[..., JobSpec]:
    """A job on iris that tries three linear models; what is given by name replaces a part."""

    def make(
        strategy: Strategy | None = None,
        space: dict[str, Any] | None = None,
        direction: str = "min",
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
def queued(requests: JobRequests, make_spec: Callable[..., JobSpec]) -> Callable[..., Job]:
    """Queue a job of `make_spec`."""

    def queue(planned: int = 3, **changes: Any) -> Job:
        return requests.create(make_spec(**changes), planned)

    return queue


@pytest.fixture
def claim(database: Database) -> Callable[..., tuple[Job, Ledger]]:
    """Claim the next job as `owner`."""

    def claim_as(owner: str = "worker-1") -> tuple[Job, Ledger]:
        job = JobQueue(database, owner, 30.0).claim()
        assert job is not None
        return job, Ledger(database, job.id, owner)

    return claim_as
