"""Everything that a report on one job shows, read once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from models.errors import ArtifactError, Conflict, NotFound, Unreadable
from models.jobs.model import Job, Outcome, Trial
from models.jobs.reader import JobReader
from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.records import VersionRecord
from models.registry.documents import Document, HeldOutSchema, check_document, parse_json
from models.registry.files import VersionFiles
from models.reports.curves import Curve, best_so_far
from models.reports.importance import Importance, importance_of
from models.store.tables import now

LEADERS = 10  # trials of the leaderboard
HELD_OUT_FILE = "held_out.json"

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for a missing part of a report."""

    reason: str  # a sentence for the reader


@dataclass(frozen=True, slots=True)
class JobReport:
    """The data of a report: everything known of a job at one moment, whatever its state."""

    moment: datetime  # of reading
    job: Job
    outcomes: tuple[Outcome, ...]  # of every trial, by number
    curve: Curve
    leaders: tuple[Trial, ...]  # trials with a score, whole, best first
    importance: Importance | Missing
    version: VersionRecord | Missing
    answers: Document | Missing  # of the version on the test rows; see `HeldOutSchema`

    @property
    def scored(self) -> list[Outcome]:
        """The trials that have a score, by number."""
        return [item for item in self.outcomes if item.score is not None]


def reason_of(part: object) -> str | None:
    """Return why a part is missing, or None if it is there."""
    return part.reason if isinstance(part, Missing) else None


def present(part: Part | Missing) -> Part:
    """Return a part that is known not to be missing."""
    assert not isinstance(part, Missing), part.reason
    return part


def read_report(
    job: Job,
    queries: JobReader,
    models: ModelCatalog,
    files: VersionFiles,
    rank: Callable[[Sequence[Outcome]], Importance] = importance_of,
) -> JobReport:
    """Read what is known of `job` now; `rank` may know the importance already."""
    outcomes = queries.outcomes(job)
    leaders = queries.trials(job, sort="score", limit=LEADERS)
    version = _version(job, models)
    return JobReport(
        moment=now(),
        job=job,
        outcomes=tuple(outcomes),
        curve=best_so_far(outcomes, job.spec.objective),
        leaders=tuple(trial for trial in leaders if trial.score is not None),
        importance=_importance(outcomes, rank),
        version=version,
        answers=version if isinstance(version, Missing) else _answers(version, files),
    )


def _importance(
    outcomes: Sequence[Outcome], rank: Callable[[Sequence[Outcome]], Importance]
) -> Importance | Missing:
    try:
        return rank(outcomes)
    except Conflict as conflict:
        return Missing(str(conflict))


def _version(job: Job, models: ModelCatalog) -> VersionRecord | Missing:
    if job.version is None:
        ended = f"The job {job.state} without registering a version."
        return Missing(ended if job.state.is_final else "No version is registered yet.")
    try:
        version = models.version(job.model, job.version)
        _ = version.files, version.evidence, version.layers, version.parameters
    except (NotFound, Unreadable) as error:
        return Missing(str(error))
    return version


def _answers(version: VersionRecord, files: VersionFiles) -> Document | Missing:
    if HELD_OUT_FILE not in version.files:
        return Missing(f"Version {version.version} was saved without its answers on test rows.")
    what = f"{HELD_OUT_FILE} of version {version.version} of model {version.model!r}"
    try:
        content = files.read(version.model, version.version, HELD_OUT_FILE)
        document: Document = parse_json(content, what)
        check_document(document, HeldOutSchema(), what)
    except (ArtifactError, Unreadable) as error:
        return Missing(str(error))
    if not document["truth"]:
        return Missing(document["note"] or "No rows were held out for a test.")
    return document
