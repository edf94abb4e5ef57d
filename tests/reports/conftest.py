from collections.abc import Callable
from typing import Any

import pytest

from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.reports.recorded import record_job, record_version


@pytest.fixture
def record(database: Database) -> Callable[..., str]:
    """Write a job with its trials, as `recorded.record_job` does."""

    def write(job: str, rows: list[dict[str, Any]], spec: Any = None, **changes: Any) -> str:
        return record_job(database, job, rows, spec, **changes)

    return write


@pytest.fixture
def register(settings: Settings, database: Database) -> Callable[..., int]:
    """Write a version, as `recorded.record_version` does."""
    artifacts = Artifacts(settings.resolved_artifacts)

    def write(
        spec: Any, answers: Any, metrics: Any = None, baseline: Any = None, evidence: Any = None
    ) -> int:
        return record_version(database, artifacts, spec, answers, metrics, baseline, evidence)

    return write
